"""Experiments, by the method whose paper they test: a file with an `EXPERIMENT` is one."""
