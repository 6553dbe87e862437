"""SERENE: novelty search with emitters that improve the rewards it finds. See docs/methods/serene.md."""
