"""Agents that evolve policies: they evaluate a population in whole episodes (`Rollouts`)."""
