"""Small environments: a point, a combination lock, and probes whose right answer is known."""
