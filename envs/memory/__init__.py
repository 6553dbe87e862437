"""Environments that require memory: T-Maze, POPGym's tasks and two tasks on a table; see README.md."""
