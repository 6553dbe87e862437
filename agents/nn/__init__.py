"""Networks, written for one example."""
