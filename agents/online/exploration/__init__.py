"""PPO with a bonus for what is new. Each file says which view its bonus has: the policy's, or the full state.

See docs/methods/exploration.md.
"""
