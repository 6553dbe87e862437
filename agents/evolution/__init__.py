"""Agents that evolve policies: they ask for whole episodes of a population (`Rollouts`)."""
