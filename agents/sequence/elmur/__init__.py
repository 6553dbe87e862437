"""ELMUR: an external memory in every layer, rewritten a slot a segment. See docs/methods/elmur.md."""
