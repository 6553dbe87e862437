"""PPO with exploration bonuses. Each file says what its bonus observes: the policy's observation, or the full state.

See docs/methods/exploration.md.
"""
