"""Datasets: recipes and their names, data files, Minari, demonstrations and scores."""
