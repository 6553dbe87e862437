"""Trained agents for other programs: players, and policies in NumPy alone."""
