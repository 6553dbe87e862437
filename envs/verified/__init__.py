"""Short tasks of control with a verifier that misses some successes, for agents that compare groups of episodes."""
