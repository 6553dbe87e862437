"""Agents that learn from a dataset alone: what they share (base.py), TD3+BC, IQL, CQL and AWAC; CDE is in agents/cde.

See docs/methods/offline.md.
"""
