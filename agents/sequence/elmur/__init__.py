"""ELMUR: an external memory in every layer, of which each segment rewrites one slot. See docs/methods/elmur.md."""
