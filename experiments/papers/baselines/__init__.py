"""Experiments of the baselines: do they learn what others report of them?"""
