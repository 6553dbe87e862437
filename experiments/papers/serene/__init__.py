"""Experiments of SERENE."""
