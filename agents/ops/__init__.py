"""Pure functions that agents share: archives, novelty, Pareto fronts, emitters."""
