"""OptiDICE, and CDE, which adds a bound on density ratios outside the data. See docs/methods/cde.md."""
