"""What is computed in another way on an accelerator has the bits of the CPU's way. Both ways run here on the CPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs import device
from prospect_rl.envs.rollout import select

STREAMS, STEPS = 40, 60
"""More streams than are reset together on a CPU."""
IDS = (
    "minigrid/DoorKey-5x5-v0", "minigrid/Dynamic-Obstacles-6x6-v0", "minigrid/PutNear-6x6-N2-v0",
    "popgym/MineSweeperEasy", "popgym/MultiarmedBanditEasy",
)  # fmt: skip


def played(id):
    """(states, observations, steps) of random actions over several episodes in each of some streams."""
    env = envs.make(id)

    def one(streams, key):
        k_action, k_step, k_reset = (jax.random.split(k, STREAMS) for k in jax.random.split(key, 3))
        state, step = jax.vmap(env.step)(streams[0], jax.vmap(env.spec.action.sample)(k_action), k_step)
        ended = step.terminated | step.truncated | (jax.vmap(lambda k: jax.random.bits(k) % 8)(k_action) == 0)
        streams = select(ended, jax.vmap(env.reset_if)(ended, k_reset), (state, step.obs))
        return streams, (streams, step)

    def roll(key):
        streams = jax.vmap(env.reset)(jax.random.split(key, STREAMS))
        return jax.lax.scan(one, streams, jax.random.split(key, STEPS))[1]

    return jax.tree.map(
        np.asarray, jax.jit(roll, compiler_options={"xla_backend_optimization_level": 0})(jax.random.key(5))
    )


@pytest.mark.parametrize("id", IDS)
def test_an_accelerator_s_way_has_the_same_bits(id, monkeypatch):
    cpu = played(id)
    monkeypatch.setattr(device, "choose", lambda *args, cpu, accelerator: accelerator(*args))
    for a, b in zip(jax.tree.leaves(cpu), jax.tree.leaves(played(id)), strict=True):
        assert a.dtype == b.dtype and (a == b).all()


def test_the_way_is_chosen_by_the_device_that_a_program_is_compiled_for():
    add = jax.jit(lambda x: device.choose(x, cpu=lambda x: x + 1, accelerator=lambda x: x + 2))
    assert jax.jit(jax.vmap(add))(jnp.zeros(3, int)).tolist() == 3 * [1 if jax.default_backend() == "cpu" else 2]


def test_a_short_scan_is_a_scan():
    body = lambda total, x: (total + x, total * x)  # noqa: E731
    inputs = jnp.arange(5)
    for reverse in (False, True):
        ours, theirs = (f(body, jnp.int32(1), inputs, reverse=reverse) for f in (device.scan, jax.lax.scan))
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), ours, theirs))
