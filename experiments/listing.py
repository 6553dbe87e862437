"""`prospect list` and `prospect show`: what there is, as tables."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.table import Table

import agents
import envs
from agents.api import wants_of
from envs.api import Spec
from envs.names import unknown
from experiments.api import EXPERIMENTS, TIERS, Experiment, load
from experiments.options import options_of, show


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().split("\n")[0]


def agents_table(fits: str | None) -> Table:
    """All agents; with `fits`, whether each can learn in that environment."""
    spec = envs.make(fits).spec if fits else None
    table = Table("agent", "what it is", "wants", *([f"fits {fits}"] if spec else []))
    for name, cls in agents.AGENTS.items():
        wants = " or ".join(dict.fromkeys(type(want).__name__ for want in wants_of(cls())))
        row = [name, first_line(cls), wants]
        if spec:
            reason = cls().misfit(spec)
            row.append(f"no: {reason}" if reason else "yes")
        table.add_row(*row)
    return table


def envs_table() -> Table:
    """All environments."""
    table = Table("environment", "observation", "action", "horizon", "areas", "descriptor")
    for name in envs.ENVS:
        spec = envs.make(name).spec
        spaces = form(spec.obs), form(spec.action)
        table.add_row(name, *spaces, str(spec.horizon), str(spec.areas), form(spec.descriptor))
    return table


def experiments_table() -> Table:
    """All experiments."""
    table = Table("experiment", "title", "agents", "environments", "claims")
    for name in EXPERIMENTS:
        one = load(name)
        table.add_row(name, one.title, ", ".join(one.repro.agents), ", ".join(one.repro.envs), str(len(one.claims)))
    return table


def form(space: Any) -> str:
    """A space in a few words."""
    if space is None:
        return "–"
    if hasattr(space, "items"):
        return ", ".join(f"{name}: {form(part)}" for name, part in space.items)
    return f"{space.n} choices" if hasattr(space, "n") else f"{'x'.join(map(str, space.shape)) or 'one'} real"


def show_tables(name: str) -> list[Table | str]:
    """What `prospect show NAME` prints. Raises ValueError with the nearest name for an unknown one."""
    if name in agents.AGENTS:
        return _show_agent(name)
    if name in envs.ENVS:
        return _show_env(name)
    if name in EXPERIMENTS:
        return _show_experiment(load(name))
    raise unknown("name", name, [*agents.AGENTS, *envs.ENVS, *EXPERIMENTS])


def _show_agent(name: str) -> list[Table | str]:
    cls = agents.AGENTS[name]
    table = Table("flag", "default", "meaning")
    for option in options_of(cls):
        table.add_row(f"--{option.name.replace('_', '-')}", show(option.default), option.text)
    return [f"{name}: {cls.__doc__ or ''}".strip(), table]


def _show_env(name: str) -> list[Table | str]:
    env = envs.make(name)
    facts = Table("spec", "value")
    for field in dataclasses.fields(Spec):
        value = getattr(env.spec, field.name)
        facts.add_row(field.name, show(value) if not dataclasses.is_dataclass(value) else form(value))
    tables: list[Table | str] = [f"{name}: {first_line(type(env))}", facts]
    if options := options_of(type(env)):
        flags = Table("flag", "default", "meaning")
        for option in options:
            flags.add_row(f"--env.{option.name.replace('_', '-')}", show(option.default), option.text)
        tables.append(flags)
    return tables


def _show_experiment(one: Experiment) -> list[Table | str]:
    tiers = Table("tier", "agents", "environments", "seeds", "budget")
    for name in TIERS:
        tier = one.tier(name)
        seeds = ", ".join(dict.fromkeys(str(tier.seeds_of(label)) for label in tier.agents))
        budgets = ", ".join(f"{tier.budget_of(env):,}" for env in tier.envs)
        tiers.add_row(name, ", ".join(tier.agents), ", ".join(tier.envs), seeds, budgets)
    claims = Table("claim", "statement", "source", "metric", "margin")
    for claim in one.claims:
        bound = show(claim.margin) if claim.within is None else f"within {show(claim.within)}"
        claims.add_row(claim.name, claim.text, claim.source, claim.metric, bound)
    tables: list[Table | str] = [f"{one.name}: {one.title}\n{one.text}\nSource: {one.source}", tiers, claims]
    if (search := one.search) is not None:
        tables.append(f"search of {search.label} in {search.env}, {search.trials} trials of {search.budget:,}:")
        tables += [f"  {name}: {domain}" for name, domain in search.space.items()]
    return tables
