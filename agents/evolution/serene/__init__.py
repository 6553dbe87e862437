"""SERENE: novelty search with emitters that climb the rewards it finds. See docs/methods/serene.md."""
