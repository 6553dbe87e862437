"""Arms that must reach past obstacles."""
