"""Searches for settings: trials, who stops early, and the experiment that the winner becomes."""
