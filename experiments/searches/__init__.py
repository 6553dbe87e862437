"""Hyper-parameter search: trials, early stopping, and the experiment for the best trial."""
