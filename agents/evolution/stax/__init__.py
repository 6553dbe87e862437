"""STAX: SERENE in a space of behaviour that an autoencoder learns from pictures. See docs/methods/stax.md."""
