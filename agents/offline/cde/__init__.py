"""OptiDICE, and CDE, which is OptiDICE with a limit on what lies outside the data. See docs/methods/cde.md."""
