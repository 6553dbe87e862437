"""Experiments of ELMUR."""
