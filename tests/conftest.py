"""Set before jax is first imported: one XLA thread (the bits depend on it) and compiled programs kept on disk."""

import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("NPROC", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "prospect-test-programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


def pytest_addoption(parser):
    """Where pytest-timeout is not installed, the setting for it has no effect, but is known."""
    if find_spec("pytest_timeout") is None:
        parser.addini("timeout", "seconds that a test may take")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """A module's tests share a worker of xdist (`--dist loadgroup`), and so its programs; others may say otherwise."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def pytest_runtest_setup(item):
    """Tests marked `gpu` run where JAX uses a GPU (`JAX_PLATFORMS=cuda pytest -m gpu`) and are skipped elsewhere.

    With PROSPECT_TEST_DEVICE=cpu they run on the CPU, to try the tests themselves.
    """
    if item.get_closest_marker("gpu") is not None and os.environ.get("PROSPECT_TEST_DEVICE") != "cpu":
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


@pytest.fixture
def fine(monkeypatch):
    """A checkpoint after every iteration, however long it takes."""
    from tests.crashes import save_always

    save_always(monkeypatch)
