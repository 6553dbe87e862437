"""Agents with memory that learn from whole episodes: one interface of trunks, and behaviour cloning on top of it."""
