"""Experiments of STAX."""
