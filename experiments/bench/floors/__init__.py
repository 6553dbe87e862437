"""Scripts that measure what random and constant actions earn, into the READMEs of the environments."""
