"""MuJoCo as a pure JAX function; see `envs.native.physics`."""

from envs.native.physics import Physics, Read, failure, threads

__all__ = ["Physics", "Read", "failure", "threads"]
