"""MuJoCo as pure JAX functions; see `envs.native.physics`."""

from prospect_rl.envs.native.physics import Physics, Read, failure, threads

__all__ = ["Physics", "Read", "failure", "threads"]
