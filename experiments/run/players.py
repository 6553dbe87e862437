"""Trained agents as files: read by `agents.load`, written by `prospect export`.

    player.json           the agent and its fields, spaces, names and shapes of the parameters, versions
    player.safetensors    the parameters of the policy, one array per leaf

A player's folder can be opened without its environment. `agents.load` also opens the folder of a finished run (see
`experiments.run.folder`). Neither contains executable code.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax

from prospect_rl.agents.api import Box, Dict, Discrete, Spec
from prospect_rl.agents.ship import portable
from prospect_rl.agents.ship.player import Player
from prospect_rl.envs.api import Env
from prospect_rl.experiments.run import checkpoint, durable, reopen
from prospect_rl.experiments.run.durable import Json
from prospect_rl.experiments.run.machine import versions

SCHEMA = 1
FACTS, WEIGHTS = "player.json", "player.safetensors"
HOST = ("termination", "draw")
"""Fields of a spec that are functions: a player needs neither."""
SPACES = {"Box": Box, "Discrete": Discrete, "Dict": Dict}


def load(path: Path | str, seed: int | None = None, *, env: Env | None = None) -> Player:
    """Load a trained agent, see `agents.load`."""
    folder = Path(path)
    if (folder / FACTS).exists():
        return read(folder, seed)
    found = reopen.open_run(folder, seed, env)
    agent = found.run.agent.bind(found.run.make_env().spec)
    return Player(agent, reopen.shipped(found, agent), seed=found.seed)


# --- a player's folder -------------------------------------------------------------------------------


def write(player: Player, folder: Path) -> None:
    """Write a player into a folder. Raises ValueError if the folder contains other files."""
    _make_folder(folder, {FACTS, WEIGHTS})
    named, data = checkpoint.flatten(player.behaviour), checkpoint.packed(player.behaviour)
    spec = {f.name: getattr(player.spec, f.name) for f in dataclasses.fields(player.spec) if f.name not in HOST}
    facts: dict[str, Json] = {
        "schema": SCHEMA, "seed": player.seed, "spec": durable.canonical(spec), "versions": versions(),
        "agent": {"name": type(player.agent).__name__, **durable.fields_of(player.agent, leave_out=("spec",))},
        "behaviour": {name: [str(x.dtype), list(x.shape)] for name, x in named.items()},
        "weights": {"bytes": len(data), "sha256": durable.sha256(data)},
    }  # fmt: skip
    facts["sha256"] = durable.hash_of(facts)
    durable.write(folder / WEIGHTS, data)
    durable.write(folder / FACTS, durable.dumps(facts, indent=1).encode())


def _make_folder(folder: Path, names: set[str]) -> None:
    """Create a folder for these files. Raises ValueError, rather than overwrite, if it contains other files."""
    if folder.exists() and (not folder.is_dir() or not {x.name for x in folder.iterdir()} <= names):
        raise ValueError(f"{folder} contains more than {' and '.join(sorted(names))}: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)


def read(folder: Path, seed: int | None = None) -> Player:
    """Read a player from its folder. Raises ValueError if a file is damaged or does not match."""
    try:
        facts = json.loads((folder / FACTS).read_bytes())
        stated, schema = facts.pop("sha256"), facts["schema"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"{folder / FACTS} is not readable") from None
    if schema != SCHEMA:
        raise ValueError(f"{folder / FACTS} has schema {schema}; this version reads schema {SCHEMA}")
    if durable.hash_of(facts) != stated:
        raise ValueError(f"{folder / FACTS} has been altered")
    if seed not in (None, facts["seed"]):
        raise ValueError(f"{folder} has no seed {seed}; it has {facts['seed']}")
    agent = dataclasses.replace(reopen.agent_of(facts["agent"])[1], spec=spec_of(facts["spec"]))
    try:
        data = (folder / WEIGHTS).read_bytes()
    except OSError:
        raise ValueError(f"{folder / WEIGHTS} is missing") from None
    if durable.sha256(data) != facts["weights"]["sha256"]:
        raise ValueError(f"{folder / WEIGHTS} has been altered ({len(data)} of {facts['weights']['bytes']} bytes)")
    template = jax.eval_shape(lambda key: agent.exploit(agent.init(key)), jax.random.key(0))
    return Player(agent, checkpoint.rebuild(checkpoint.unpacked(data), template), seed=facts["seed"])


def spec_of(facts: dict[str, Any]) -> Spec:
    """Rebuild a spec from JSON, including fields that `Spec` itself lacks (e.g. a table of rewards)."""
    values = {name: _space(x) if isinstance(x, dict) else reopen.value_of(x) for name, x in facts.items()}
    more = [(name, Any, None) for name in values if name not in {f.name for f in dataclasses.fields(Spec)}]
    return dataclasses.make_dataclass("Spec", more, bases=(Spec,), frozen=True)(**values)


def _space(facts: dict[str, Any]) -> Box | Discrete | Dict:
    if facts["class"] == "Dict":
        return Dict(tuple((name, _space(part)) for name, part in facts["items"]))
    return SPACES[facts["class"]](**{name: reopen.value_of(x) for name, x in facts.items() if name != "class"})


# --- NumPy and JSON ----------------------------------------------------------------------------------


def write_numpy(player: Player, folder: Path) -> None:
    """Write policy.py and policy.npz, which need only NumPy.

    Raises ValueError for a policy that NumPy files cannot express, and if the folder contains other files.
    """
    policy = player.to_numpy()
    _make_folder(folder, {"policy.py", "policy.npz"})
    policy.save(folder / "policy.npz")
    shutil.copyfile(portable.__file__, folder / "policy.py")


def write_json(player: Player, path: Path) -> None:
    """Write the policy as named coefficients. Raises ValueError for an agent that has none."""
    data = durable.dumps(player.agent.to_json(player.behaviour), indent=1).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, data)
