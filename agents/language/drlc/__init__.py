"""DRLC: a critic names the good and the bad spans of a text, which become rewards of its tokens."""
