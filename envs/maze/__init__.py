"""Mazes for a wheeled robot with range sensors."""
