"""Agents that learn by gradients from the steps that they play themselves (`Segments`)."""
