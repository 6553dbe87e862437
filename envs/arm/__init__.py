"""Robot arms that must reach past obstacles."""
