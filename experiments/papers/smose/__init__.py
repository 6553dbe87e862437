"""Experiments of SMoSE."""
