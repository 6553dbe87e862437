"""MiniGrid's environment around the kernel: levels and where they come from, names, errors, a task of one's own.

That its rules, observations and levels are Farama's is shown in tests/parity/test_minigrid_*.py.
"""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs import register, resets
from prospect_rl.envs.minigrid import bank
from prospect_rl.envs.minigrid.art import level, stack
from prospect_rl.envs.minigrid.env import Bank, MiniGrid, state_id
from prospect_rl.envs.minigrid.state import BLUE, BOX, CLOSED, DOOR, EMPTY, KEY, YELLOW, code
from prospect_rl.envs.minigrid.table import FAMILIES, TASKS, read, say

ROOT = Path(__file__).parents[2]
NAME = "PutNear-6x6-N2-v0"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path))
    return tmp_path / "minigrid"


def equal(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


# --- the bank ----------------------------------------------------------------------------------------


def test_a_bank_is_made_once(cache, monkeypatch):
    pytest.importorskip("minigrid")
    made, seen = bank.generate(NAME, 5, 3), []
    assert equal(bank.load(NAME, 5, 3, seen.append), made) and seen == [1, 2, 3]
    assert [path.name for path in cache.iterdir()] == [f"{NAME}-3.2.0-5-3.npz"]
    monkeypatch.setattr(bank, "generate", None)
    assert equal(bank.load(NAME, 5, 3), made)


@pytest.mark.parametrize("place", [60, -400, None])
def test_a_damaged_bank_is_made_anew(cache, place):
    """place: a byte that has changed; None for a file that was cut."""
    pytest.importorskip("minigrid")
    made = bank.load(NAME, 0, 3)
    path = next(cache.iterdir())
    data = bytearray(path.read_bytes())
    if place is None:
        data = data[: len(data) // 2]
    else:
        data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged and will be rebuilt"):
        assert equal(bank.load(NAME, 0, 3), made)
    assert equal(bank.load(NAME, 0, 3), made)


def test_minigrid_is_only_needed_to_make_levels(cache):
    pytest.importorskip("minigrid")
    bank.load(NAME, 0, 4)
    code = (
        "import sys; sys.modules['minigrid'] = None\n"
        "import jax\nfrom prospect_rl import envs\n"
        f"env = envs.make('minigrid/{NAME}', levels=4)\n"
        "print(env.mission(env.reset(jax.random.key(0))[0]))\n"
        f"try: jax.tree.leaves(envs.make('minigrid/{NAME}', levels=5))\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mission, trouble = done.stdout.splitlines()
    assert mission.startswith("put the ") and "pip install 'prospect-rl[minigrid]'" in trouble and NAME in trouble


def test_naming_a_task_makes_no_level(cache):
    for name in TASKS:
        assert envs.make(f"minigrid/{name}").spec.id == f"minigrid/{name}"
    assert not cache.exists()


def test_training_levels_and_unseen_ones_are_disjoint(cache):
    pytest.importorskip("minigrid")
    env = envs.make(f"minigrid/{NAME}", levels=4, view="onehot")
    other = env.unseen()
    assert (other.first_level, other.levels, other.view) == (1_000_000, 4, "onehot") and other.spec == env.spec
    assert not equal(env.bank.levels, other.bank.levels)
    with pytest.raises(ValueError, match="must all be below 1,000,000"):
        envs.make(f"minigrid/{NAME}", first_level=999_990)


# --- the environment ---------------------------------------------------------------------------------

VAULT = """
############
##>>KyXbLy##
############
"""


def small(name="Empty-5x5-v0", text=VAULT, **fields):
    return MiniGrid(name, bank=Bank(lambda: stack([level(text), level(text.replace(">>", "<<"))])), **fields)


@pytest.mark.parametrize(("fields", "message"), [
    ({"view": "rgb"}, "view must be 'partial', 'full', 'onehot' or 'flat', not 'rgb'"),
    ({"view_size": 4}, "view_size must be 3, 5, 7 or 9, not 4"),
    ({"levels": 0}, "levels must be at least 1, not 0"),
])  # fmt: skip
def test_bad_fields(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        envs.make("minigrid/Empty-5x5-v0", **fields)


def test_missions_are_read_back():
    for family in FAMILIES.values():
        ids = [5, 6, 5, 7] if family.mission.startswith("put") else [4, 5, 5, 0]
        text = say(family.mission, ids)
        kept = read(family.mission, text)
        assert say(family.mission, kept) == text
    assert say(FAMILIES["Fetch"].mission, [4, BLUE, KEY]) == "you must fetch a blue key"
    with pytest.raises(ValueError, match="does not match"):
        read(FAMILIES["Fetch"].mission, "fetch the moon")


def test_a_level_is_its_drawing():
    state = level(VAULT, task=[3])
    assert state.cells.shape == (6, 3) and (state.x, state.y, state.direction) == (1, 1, 0)
    assert state.cells[:, 1].tolist()[1:5] == [EMPTY, code(KEY, YELLOW), code(BOX, BLUE), code(DOOR, YELLOW, 2)]
    assert state.task.tolist() == [3] + 7 * [0] and code(DOOR, 0, CLOSED) == 4 + 256


@pytest.mark.parametrize(("text", "message"), [
    ("####\n##", "differ in length"), ("######\n##..##\n######", "one agent, not 0"),
    ("######\n>>..##\n######", "enclosed by walls"), ("######\n##>>Zr\n######", "unknown tile 'Zr'"),
])  # fmt: skip
def test_bad_drawings(text, message):
    with pytest.raises(ValueError, match=message):
        level(text)


def test_state_id_tells_states_apart_and_not_times():
    state = jax.tree.map(jnp.asarray, level(VAULT))
    box = state.cells.at[3, 1]
    others = [
        state.replace(x=jnp.int32(2)), state.replace(y=jnp.int32(2)), state.replace(direction=jnp.int32(1)),
        state.replace(carry=jnp.uint16(code(KEY, YELLOW))), state.replace(cells=box.set(EMPTY)),
        state.replace(cells=box.set(code(BOX, BLUE, 0, KEY, BLUE))),
        state.replace(cells=state.cells.at[2, 1].set(EMPTY).at[1, 1].set(code(KEY, YELLOW))),
    ]  # fmt: skip
    ids = [int(state_id(one)) for one in (state, *others)]
    assert len(set(ids)) == len(ids)
    assert int(state_id(state.replace(t=jnp.int32(9)))) == ids[0]


def test_state_ids_of_many_states_differ():
    """All maps of one wall or door among 64 cells, and all pairs of poses: 13,312 states, no collision."""
    base = jax.tree.map(jnp.asarray, level(VAULT)).replace(cells=jnp.full((8, 8), EMPTY, jnp.uint16))
    place, door, pose = np.meshgrid(np.arange(64), np.arange(2), np.arange(104), indexing="ij")
    place, door, pose = place.ravel(), door.ravel(), pose.ravel()
    one = lambda p, d, q: state_id(base.replace(  # noqa: E731
        cells=base.cells.reshape(-1).at[p].set((code(DOOR, BLUE) + (d << 8)).astype(jnp.uint16)).reshape(8, 8),
        x=q // 4, direction=q % 4,
    ))  # fmt: skip
    ids = jax.jit(jax.vmap(one))(place, door, pose)
    assert len(np.unique(ids)) == len(place) == 13_312


@pytest.mark.parametrize("shape", [(), (3,), (70,), (2, 40)])
def test_resets_of_some_are_resets_of_all(shape, monkeypatch):
    """Also where more need one than fit into one hand."""
    env = small()
    keys = jax.random.split(jax.random.key(0), shape) if shape else jax.random.key(0)
    needed = np.random.default_rng(0).random(shape) < 0.6
    some, every = lambda n, k: env.reset_if(n, k), env.reset  # noqa: E731
    for _ in shape:
        some, every = jax.vmap(some), jax.vmap(every)
    for a, b in zip(jax.tree.leaves(jax.jit(some)(needed, keys)), jax.tree.leaves(jax.jit(every)(keys)), strict=True):
        mask = needed.reshape(needed.shape + (1,) * (a.ndim - needed.ndim))
        assert (np.where(mask, a, 0) == np.where(mask, b, 0)).all()
        assert not shape or not np.where(mask, 0, a).any()
    assert needed.sum() > resets.RESET_BATCH or np.prod(shape) < 70


def test_a_picture_shows_where_the_agent_looks():
    env = small()
    state = jax.tree.map(lambda x: x[0], env.bank.levels)
    picture = np.asarray(env.frame(state)).reshape(3, 16, 6, 16, 3).swapaxes(1, 2)
    agent, key = picture[1, 1], picture[1, 2]
    assert agent.max() == 250 and (agent[8, 3] > agent[2, 13]).all()  # a wedge that points to the right
    assert key[..., 0].max() == 236 and key[..., 2].max() < 70  # yellow
    hidden = small("DoorKey-5x5-v0").frame(state.replace(direction=jnp.int32(2)))
    assert np.asarray(hidden)[16:32, 32:48, 0].max() < 236  # behind its back


# --- a task of one's own -----------------------------------------------------------------------------

README = (ROOT / "envs/minigrid/README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)


def test_its_readme_names_every_file_and_starts_an_episode():
    here = {path.name for path in (ROOT / "envs/minigrid").glob("*.py")} - {"__init__.py", "env.py", "picture.py"}
    assert here == set(re.findall(r"^\| `(\w+\.py)`", README, re.M))
    assert len(EXAMPLES) == 2 and len(EXAMPLES[1].splitlines()) < 60


@pytest.fixture
def vault(tmp_path, monkeypatch):
    (tmp_path / "my_vault.py").write_text(EXAMPLES[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(register, "ENVS", dict(envs.ENVS))
    monkeypatch.setattr(envs, "ENVS", register.ENVS)
    monkeypatch.delitem(sys.modules, "my_vault", raising=False)
    import_module("my_vault")
    return "mine/vault"


def test_a_task_of_ones_own_joins_the_registry(vault):
    env = envs.make(vault, levels=2)
    state = jax.tree.map(lambda x: x[0], env.bank.levels)
    step = jax.jit(env.step)
    for action in (0, 2, 3, 1, 2, 5, 2, 2):  # up to the key, through the door, onto the goal
        state, last = step(state, jnp.int32(action), jax.random.key(0))
    assert env.spec.id == vault and env.mission(state) == "open the vault"
    assert last.terminated and last.info["success"] and float(last.reward) == pytest.approx(1 - 0.9 * 8 / 60)


@pytest.mark.slow
def test_a_task_of_ones_own_keeps_the_contract(vault):
    from tests.contract import test_envs as contract

    for name, test in vars(contract).items():
        if name.startswith("test_") and "id" in test.__code__.co_varnames[: test.__code__.co_argcount]:
            test(vault)
