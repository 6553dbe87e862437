"""Small environments: a point mass, a combination lock, and probe tasks with known optimal values."""
