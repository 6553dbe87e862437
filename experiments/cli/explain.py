"""`prospect explain RUN`: writes a page that explains a finished policy of linear experts, and its trees as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from prospect_rl.agents.api import Agent
from prospect_rl.agents.online.smose import sizes, trees
from prospect_rl.agents.online.smose.names import names_of
from prospect_rl.agents.online.smose.policy import Law
from prospect_rl.envs.api import Box, Env
from prospect_rl.experiments.cli.parser import Parser
from prospect_rl.experiments.run import durable, machine, reopen
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.reading import Reading, check_reading, read
from prospect_rl.experiments.site.build import save
from prospect_rl.experiments.site.explain import About, page
from prospect_rl.experiments.terminal import SEED_HELP, natural, out, positive

STATES, PICTURES = 200, 8
"""States kept of the episode that is shown, and pictures drawn of them."""


def explain_run(words: Sequence[str]) -> int:
    """Read the policy of a finished run and write its page, trees.json and trees.txt."""
    parser = Parser(prog="prospect explain", description="Explain a finished policy of linear experts in one page.")
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="The folder of a finished run, or one with a folder for each seed."
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="The page (default: explain.html in the run's folder)")
    parser.add_argument("--seed", type=natural, help=SEED_HELP)
    parser.add_argument("--depth", type=positive, default=3, metavar="N", help="Depth of the trees (default: 3)")
    parser.add_argument(
        "--episodes", type=positive, default=10, metavar="N",
        help="Episodes that trees are fitted on, and as many others to measure on (default: 10)",
    )  # fmt: skip
    parser.add_argument("--oblique", action="store_true", help="Also seek one oblique tree (takes minutes).")
    args = parser.parse_args(list(words))
    folders = seeds_in(args.run)
    found = reopen.open_run(chosen(folders, args.seed), args.seed)
    check_reading(found.run.agent)
    machine.enable_compilation_cache()
    env = found.run.make_env()
    agent = found.run.agent.bind(env.spec)
    kinds: tuple[trees.Kind, ...] = ("each", "one", *(("oblique",) if args.oblique else ()))
    reading = read(
        agent, env, reopen.shipped(found, agent), found.seed, episodes=args.episodes, depth=args.depth, kinds=kinds,
        states=STATES,
    )  # fmt: skip
    path = args.out or found.folder / "explain.html"
    alike = [one for one in folders if config_of(one).get("device") == config_of(found.folder).get("device")]
    rows = [row for folder in alike for row in (Folder(folder).result or {"rows": []})["rows"]]
    about = about_of(found, agent, env, reading, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, f"{about.title} - Prospect", page(reading, about))
    told = "\n".join(
        f"# {kind}\n{trees.to_text(made, list(about.features))}" for kind, made in reading.routings.items()
    )
    parts = ", ".join(f'"{kind}": {trees.to_json(made)}' for kind, made in reading.routings.items())
    for name, text in (("trees.txt", told), ("trees.json", f"{{{parts}}}\n")):
        durable.write(path.with_name(name), text.encode())
    for written in (path, path.with_name("trees.json"), path.with_name("trees.txt")):
        out().print(str(written))
    return 0


def seeds_in(run: Path) -> list[Path]:
    """The run's own folder, or the folders of its seeds, each with one or several."""
    each = sorted(run.glob("seed*-*/run.json"), key=lambda path: (len(path.parent.name), path))
    return [path.parent for path in each] if each and not (run / "run.json").exists() else [run]


def chosen(folders: list[Path], seed: int | None) -> Path:
    """The folder of a seed; the first without one. Raises ValueError, in one line, for a seed that has none."""
    if len(folders) == 1 or seed is None:
        return folders[0]
    named = {one: folder for folder in reversed(folders) for one in config_of(folder)["seeds"]}
    if seed not in named:
        raise ValueError(f"{folders[0].parent} has no seed {seed}; it has {', '.join(map(str, sorted(named)))}")
    return named[seed]


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration of a run. Raises ValueError, in one line, if it is not readable."""
    try:
        return durable.read_object(folder / "run.json")["config"]
    except (ValueError, KeyError):
        raise ValueError(f"{folder} is not a run folder (it has no readable run.json)") from None


def about_of(found: reopen.Finished, agent: Agent, env: Env, reading: Reading, rows: list[dict[str, Any]]) -> About:
    """What the page says beside the reading."""
    features, actions = names_of(env.spec)
    pictures, why = pictures_of(env, reading)
    used = int(np.sum(reading.usage > 0))
    facts: list[tuple[str, object]] = [
        ("Agent", type(agent).__name__), ("Environment", env.spec.id), ("Seed", found.seed),
        ("Budget", f"{found.run.budget:,} steps"),
        ("Experts", f"{len(reading.usage)}, of which {used} act"),
        ("Observation", f"{len(features)} features"), ("Action", f"{len(actions)}: {', '.join(actions)}"),
    ]  # fmt: skip
    title = f"{type(agent).__name__} on {env.spec.id}"
    parameters = parameters_of(agent, env, reading.law)
    return About(title, facts, features, actions, parameters, pictures, why, rows)


def parameters_of(agent: Agent, env: Env, law: Law) -> list[tuple[str, int]]:
    """(policy, its number of parameters), this one first, then what acts at a step and rivals."""
    spec, experts = env.spec, len(law.router_bias)
    parts = (law.router_kernel, law.router_bias, law.mean_kernel, law.mean_bias, law.log_std_kernel, law.log_std_bias)
    total = sum(x.size for x in parts if x is not None)
    router = law.router_kernel.size + law.router_bias.size
    own = [("router and all experts", total), ("router and one expert", router + (total - router) // experts)]
    if not isinstance(spec.action, Box) or not isinstance(spec.obs, Box):
        width = getattr(agent, "hidden", (64, 64))
        sides = (law.router_kernel.shape[0], *width, law.mean_bias.shape[1])
        dense = sum((a + 1) * b for a, b in zip(sides, sides[1:], strict=False))
        return [*own, (f"a network of {' x '.join(map(str, width))} on the same features", dense)]
    rivals = {"SAC-S": (sizes.small_width(spec, experts),), "SAC-M": (sizes.medium_width(spec, experts),),
              "SAC": (256, 256)}  # fmt: skip
    return [
        *own,
        *((f"{name}, {' x '.join(map(str, hidden))} units", sizes.gaussian_parameters(spec, *hidden))
          for name, hidden in rivals.items()),
    ]  # fmt: skip


def pictures_of(env: Env, reading: Reading) -> tuple[list[tuple[int, bytes]], str]:
    """((step, PNG) of some states of the episode that is shown, why there are none)."""
    from PIL import Image

    if not len(reading.state_steps):
        return [], "the episode ended before the first of them"
    wanted = np.linspace(0, reading.length[0], 2 * PICTURES + 1)[1::2]
    at = np.unique(np.abs(reading.state_steps[None] - wanted[:, None]).argmin(axis=1))
    drawn = []
    for i in map(int, at):
        try:
            frame = np.asarray(env.frame(jax.tree.map(lambda x, i=i: x[i], reading.states)))
        except NotImplementedError as error:
            return [], str(error)
        packed = io.BytesIO()
        Image.fromarray(frame).save(packed, format="PNG", optimize=True)
        drawn.append((int(reading.state_steps[i]), packed.getvalue()))
    return drawn, ""
