"""Farama's MiniGrid with identical rules, as pure functions."""
