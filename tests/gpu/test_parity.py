"""On an accelerator environments do what others' did: Farama's MiniGrid and popgym (from files), the maze's oracle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.memory import control
from prospect_rl.envs.minigrid.state import State
from tests.envs import test_maze as maze
from tests.gpu import oracles
from tests.gpu.places import on
from tests.parity.minigrid_sized import roll

pytestmark = pytest.mark.gpu
MINIGRID, POPGYM = oracles.read("minigrid"), oracles.read("popgym")


@pytest.fixture(autouse=True)
def there():
    with on("accelerator"):
        yield


@pytest.mark.parametrize("group", MINIGRID)
def test_minigrid_plays_as_farama_s(group):
    """One level of each id, whole lists of actions, for the ids of a rule at once."""
    kept, (rule, through) = MINIGRID[group], group.split("-")
    start, moved = (
        {field.removeprefix(prefix): x for field, x in kept.items() if field.startswith(prefix)}
        for prefix in ("start_", "moved_")
    )
    play = jax.jit(jax.vmap(partial(roll, (rule, through == "1"))))
    actions = kept["action"].astype(np.int32)
    first, (_, (states, steps)) = jax.tree.map(np.asarray, play(kept["limit"], State(**start), actions, moved))
    for i, live in enumerate(kept["length"]):
        for field, expected in (("image", kept["image"]), ("direction", kept["direction"])):
            assert (first[field][i] == expected[i, 0]).all()
            assert (steps.obs[field][i, :live] == expected[i, 1 : live + 1]).all(), (group, i, field)
        assert (np.stack([states.x, states.y], -1)[i, :live] == kept["position"][i, 1 : live + 1]).all()
        assert (states.cells[i, live - 1] == kept["last"][i]).all()
        np.testing.assert_allclose(steps.reward[i, :live], kept["reward"][i, :live], atol=1e-6)
        assert (steps.terminated[i, :live] == kept["terminated"][i, :live]).all()
        assert (steps.truncated[i, :live] == (kept["truncated"] & ~kept["terminated"])[i, :live]).all()


def played(env, first, chance, start, action):
    state, _ = env.reset(start) if first is None else env.begin(first)

    def body(state, given):
        action, chance = given
        if chance is None:
            return env.step(state, action, jax.random.key(0))
        return env.resolve(state, action, chance[action] if chance.ndim == 1 and first is None else chance)

    return jax.lax.scan(body, state, (action, chance))[1]


@pytest.mark.parametrize("name", [name for name, kept in POPGYM.items() if "q" not in kept])
def test_popgym_s_games(name):
    kept, env = POPGYM[name], envs.make(f"popgym/{name}")
    keys = jax.random.split(jax.random.key(1), len(kept["action"]))
    run = jax.jit(jax.vmap(partial(played, env)))
    steps = jax.tree.map(np.asarray, run(kept.get("first"), kept.get("chance"), keys, kept["action"]))
    live = kept["live"]
    assert live.sum() > 20
    np.testing.assert_allclose(steps.obs[live], kept["obs"][live], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(steps.reward[live], kept["reward"][live], rtol=1e-5, atol=1e-6)
    for flag in ("terminated", "truncated"):
        assert (getattr(steps, flag)[live] == kept[flag][live]).all()


@pytest.mark.parametrize("name", [name for name, kept in POPGYM.items() if "q" in kept])
def test_popgym_s_control_tasks(name):
    kept, env = POPGYM[name], envs.make(f"popgym/{name}")
    state = control.ControlState(jnp.asarray(kept["q"]), jnp.asarray(kept["t"], jnp.int32))
    _, step = jax.jit(jax.vmap(env.resolve))(state, kept["action"], kept["noise"])
    np.testing.assert_allclose(step.obs, kept["obs"], rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(step.reward, kept["reward"], rtol=1e-4, atol=1e-6)
    assert (np.asarray(step.terminated) == kept["terminated"]).all()


def test_the_hard_maze_against_its_oracle():
    step = jax.jit(jax.vmap(lambda state, action: maze.ENV.step(state, action, jax.random.key(0))))
    maze.test_lasers_agree_with_the_oracle_within_a_pixel(step)
    maze.test_collisions_and_bumpers_equal_the_oracle(step)
