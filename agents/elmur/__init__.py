"""ELMUR: an external memory in every layer, rewritten a slot a segment."""
