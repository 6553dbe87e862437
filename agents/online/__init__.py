"""Agents that learn by gradient steps from the environment steps that they take themselves (`Segments`)."""
