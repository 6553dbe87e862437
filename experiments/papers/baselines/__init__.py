"""Experiments of the baselines: comparison with published results."""
