"""Experiments of HERO's paper."""
