"""Farama's MiniGrid, rule for rule, as one pure kernel."""
