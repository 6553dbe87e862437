"""Experiments of MEX."""
