"""The two devices that tests compare, in one process."""

import os
from contextlib import contextmanager

import jax
import pytest

from prospect_rl.envs import device

TRIED = os.environ.get("PROSPECT_TEST_DEVICE") == "cpu"
"""Whether these tests are tried on a CPU, which then takes the accelerator's part."""


@contextmanager
def on(place):
    """Compute on the "processor" or the "accelerator"."""
    with pytest.MonkeyPatch.context() as patch:
        if TRIED and place == "accelerator":
            patch.setattr(device, "choose", lambda *args, cpu, accelerator: accelerator(*args))
        with jax.default_device(jax.devices("cpu" if TRIED or place == "processor" else "gpu")[0]):
            yield
