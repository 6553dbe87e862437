"""Environments that ask for memory: T-Maze and POPGym's tasks; README.md tells of them."""
