"""Datasets: names and recipes, files, Minari, scripted players, scores."""
