"""Recipes of datasets that need a trained agent."""
