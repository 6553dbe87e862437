"""Point masses in mazes; see README.md."""
