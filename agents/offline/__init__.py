"""Agents that learn from a dataset alone: their base (base.py), TD3+BC, IQL, CQL, AWAC and BC; CDE is in offline/cde.

See docs/methods/offline.md.
"""
