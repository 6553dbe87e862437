"""Set before jax is first imported: one XLA thread (the bits depend on it) and compiled programs kept on disk."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("NPROC", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "prospect-test-programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """A module's tests share a worker of xdist (`--dist loadgroup`), and so its programs; others may say otherwise."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def pytest_runtest_setup(item):
    """Tests marked `gpu` run where JAX uses a GPU (`JAX_PLATFORMS=cuda pytest -m gpu`) and are skipped elsewhere."""
    if item.get_closest_marker("gpu") is not None:
        if os.environ["JAX_PLATFORMS"] == "cpu":  # without importing JAX
            pytest.skip("needs a GPU")
        import jax

        if jax.default_backend() != "gpu":
            pytest.skip("needs a GPU")


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """A module's compiled programs go with it: those of all modules together take gigabytes."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()
