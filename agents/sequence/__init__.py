"""Agents that learn from whole episodes and remember: one interface of trunks, and behaviour cloning over it."""
