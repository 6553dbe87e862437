"""Neural networks, written for a single example; callers `vmap`."""
