"""What Farama's MiniGrid and popgym do with lists of actions, kept for machines without them.

`python -m tests.gpu.oracles` writes minigrid.npz and popgym.npz; it needs the extra `dev`.
"""

from functools import cache
from pathlib import Path

import jax
import numpy as np

HERE = Path(__file__).parent
LENGTH = 100
"""Steps of an episode in MiniGrid at most; arrays are padded to it."""
SEED = 3


def minigrid():
    """Name in the file -> array; names begin with the rule, arrays with its episodes: a busy and a solved one an id."""
    from prospect_rl.envs.minigrid.table import TASKS
    from tests.parity import test_minigrid_replay as replay

    size, found = (replay.LARGEST, replay.LARGEST), {}
    for rule in replay.RULES:
        rows = []
        for name in (name for name in TASKS if replay.rule_of(name) == rule):
            sources = [source for source in replay.sources_of(name) if source is not replay.uniform]
            for _, e in replay.played(name, SEED, LENGTH, sources)[:2]:
                codes = e.steps.grid[-1].astype(int) @ (1, 16, 256, 1024, 8192)
                last = replay.grow(e.start.replace(cells=codes.astype(np.uint16)), rule[0], size).cells
                start = replay.grow(e.start, rule[0], size)
                row = {f"start_{field}": x for field, x in vars(start).items()} | {"last": last}
                row |= {field: x for field, x in e.steps._asdict().items() if field != "grid"}
                row |= {"limit": TASKS[name].max_steps, "length": len(e.steps.action)}
                if rule[0] == "obstacles":
                    worlds = [replay.grow(s, rule[0], size) for s in e.moved]
                    row |= {
                        f"moved_{field}": np.stack([getattr(s, field) for s in worlds]) for field in ("cells", "task")
                    }
                rows.append({field: padded(field, np.asarray(x)) for field, x in row.items()})
        key = f"{rule[0]}-{int(rule[1])}"
        found |= {f"{key}/{field}": np.stack([row[field] for row in rows]) for field in rows[0]}
    return found


def padded(field, x):
    """An array of a step each, or of one more, continued with zeros."""
    if field in ("limit", "length", "last") or field.startswith("start_"):
        return x
    length = LENGTH + (field in ("image", "direction", "position", "carry"))
    return np.concatenate([x, np.zeros((length - len(x), *x.shape[1:]), x.dtype)])


def popgym():
    """Name in the file -> array; names begin with popgym's class. Games have two episodes, control tasks steps."""
    from prospect_rl import envs
    from tests.parity import test_popgym as parity

    found = {}
    for name in (name for name in parity.GAMES if name.endswith("Easy")):
        parity.play_both(name, [SEED])  # what ours plays below is popgym's
        env, theirs = envs.make(f"popgym/{name}"), parity.theirs_of(name)
        theirs.reset(seed=SEED)
        drawn = 2 * [parity.chances(name, theirs, env.spec.horizon, SEED)]
        first, chance = jax.tree.map(lambda *x: np.stack(x), *drawn)
        keys = jax.random.split(jax.random.key(1), 2)
        run = jax.jit(jax.vmap(parity.ours_played, (None, 0, 0, 0, 0)))
        obs, actions, steps, live = run(env, first, chance, np.arange(2) % 2 == 1, keys)
        arrays = {"first": first, "chance": chance, "start": obs, "action": actions, "live": live, "obs": steps.obs,
                  "reward": steps.reward, "terminated": steps.terminated, "truncated": steps.truncated}  # fmt: skip
        found |= {f"{name}/{field}": np.asarray(x) for field, x in arrays.items() if x is not None}
    for name in (name for name in parity.CONTROL if name.endswith("Easy")):
        rows = [row for expert in (False, True) for row in parity.control_episode(name, SEED, expert)[1]]
        fields = ("q", "action", "noise", "obs", "reward", "terminated", "truncated")
        arrays = dict(zip(fields, map(np.asarray, zip(*rows, strict=True)), strict=True))
        arrays["t"] = np.concatenate([np.arange(len(parity.control_episode(name, SEED, e)[1])) for e in (False, True)])
        narrow = {field: x.astype(np.float32) if x.dtype == float else x for field, x in arrays.items()}
        found |= {f"{name}/{field}": x for field, x in narrow.items()}
    return found


@cache
def read(name):
    """Group -> field -> array of one of the files, read once."""
    groups = {}
    with np.load(HERE / f"{name}.npz", allow_pickle=False) as file:
        for key in file.files:
            group, field = key.split("/")
            groups.setdefault(group, {})[field] = file[key]
    return groups


if __name__ == "__main__":
    np.savez_compressed(HERE / "minigrid.npz", allow_pickle=False, **minigrid())
    np.savez_compressed(HERE / "popgym.npz", allow_pickle=False, **popgym())
