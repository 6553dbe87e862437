"""`prospect list` and `prospect show`: facts as plain values, printed as tables or JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from prospect_rl import agents, envs
from prospect_rl.agents.api import wants_of
from prospect_rl.envs.api import Drawing, Spec
from prospect_rl.envs.names import unknown
from prospect_rl.experiments import terminal
from prospect_rl.experiments.api import Experiment
from prospect_rl.experiments.options import Option, options_of, show
from prospect_rl.experiments.register import EXPERIMENTS, load

Rows = list[dict[str, Any]]
"""Rows of a table: mappings with the same keys, which are the columns."""


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().split("\n")[0]


def agents_rows(fits: str | None) -> Rows:
    """One row per agent; with `fits`, also whether it can learn in that environment."""
    spec, rows = envs.make(fits).spec if fits else None, []
    for name, cls in agents.AGENTS.items():
        wants = " or ".join(dict.fromkeys(type(want).__name__ for want in wants_of(cls())))
        row = {"agent": name, "what it is": first_line(cls), "wants": wants}
        if spec:
            reason = cls().misfit(spec)
            row[f"fits {fits}"] = f"no: {reason}" if reason else "yes"
        rows.append(row)
    return rows


def envs_rows(family: str | None = None, part: str = "") -> Rows:
    """One row per environment, optionally only those of a family (first part of the id) or with `part` in their id."""
    families = list(dict.fromkeys(name.partition("/")[0] for name in envs.ENVS))
    if family is not None and family not in families:
        raise unknown("family", family, families)
    chosen = [n for n in envs.ENVS if family in (None, n.partition("/")[0]) and part.lower() in n.lower()]
    if not chosen:
        raise ValueError(f"no environment id contains {part!r}")
    return [_env_row(name, envs.make(name).spec) for name in chosen]


def _env_row(name: str, spec: Spec) -> dict[str, Any]:
    return {
        "environment": name, "observation": form(spec.obs), "action": form(spec.action), "horizon": spec.horizon,
        "areas": spec.areas, "descriptor": form(spec.descriptor),
    }  # fmt: skip


def experiments_rows() -> Rows:
    """A row for every experiment; that of a file which cannot be loaded shows the error as its title."""
    return [_experiment_row(name) for name in EXPERIMENTS]


def _experiment_row(name: str) -> dict[str, Any]:
    try:
        one = load(name)
    except ValueError as error:
        return {"experiment": name, "title": str(error), "agents": "–", "environments": "–", "claims": 0}
    return {
        "experiment": name, "title": one.title, "agents": ", ".join(one.repro.agents),
        "environments": ", ".join(one.repro.envs), "claims": len(one.claims),
    }  # fmt: skip


def form(space: Any) -> str:
    """A space as a short text."""
    if space is None:
        return "–"
    if hasattr(space, "items"):
        return ", ".join(f"{name}: {form(part)}" for name, part in space.items)
    if isinstance(space, Drawing):
        return "it draws itself in pictures that agents learn from"
    return f"{space.n} choices" if hasattr(space, "n") else f"{'x'.join(map(str, space.shape)) or 'one'} real"


def facts_of(name: str) -> dict[str, str | Rows]:
    """The contents of `prospect show NAME`: heading -> text or table.

    Raises ValueError, with the nearest known name, for an unknown name.
    """
    if name in agents.AGENTS:
        cls = agents.AGENTS[name]
        return {"name": name, "about": (cls.__doc__ or "").strip(), "hyper-parameters": flags(options_of(cls))}
    if name in envs.ENVS:
        return _env_facts(name)
    if name in EXPERIMENTS:
        return _experiment_facts(load(name))
    raise unknown("name", name, [*agents.AGENTS, *envs.ENVS, *EXPERIMENTS])


def flags(options: Sequence[Option], prefix: str = "") -> Rows:
    """One row per command-line flag."""
    return [
        {
            "flag": f"--{prefix}{x.name.replace('_', '-')}", "default": show(x.default),
            "meaning": x.text + (f" Alias: --{prefix}{x.alias.replace('_', '-')}." if x.alias else ""),
        }
        for x in options
    ]  # fmt: skip


def _env_facts(name: str) -> dict[str, str | Rows]:
    env = envs.make(name)
    values = {field.name: getattr(env.spec, field.name) for field in dataclasses.fields(Spec)}
    spec = [{"spec": k, "value": form(x) if dataclasses.is_dataclass(x) else show(x)} for k, x in values.items()]
    facts: dict[str, str | Rows] = {"name": name, "about": first_line(type(env)), "spec": spec}
    options = options_of(type(env))
    return facts | ({"fields": flags(options, "env.")} if options else {})


def _experiment_facts(one: Experiment) -> dict[str, str | Rows]:
    tiers = [
        {
            "tier": name, "agents": ", ".join(tier.agents), "environments": ", ".join(tier.envs),
            "seeds": ", ".join(dict.fromkeys(str(tier.seeds_of(label)) for label in tier.agents)),
            "budget": ", ".join(" or ".join(f"{x:,}" for x in tier.budgets_in(env)) for env in tier.envs),
        }
        for name, tier in one.tiers.items()
    ]  # fmt: skip
    claims = [
        {
            "claim": claim.name, "statement": claim.text, "source": claim.source, "metric": claim.metric,
            "margin": show(claim.margin) if claim.within is None else f"within {show(claim.within)}",
        }
        for claim in one.every_claim
    ]  # fmt: skip
    facts: dict[str, str | Rows] = {
        "name": one.name, "title": one.title, "about": one.text, "source": one.source, "tiers": tiers,
        **({"on a GPU": one.gpu_text} if one.gpu_text else {}), "claims": claims,
    }  # fmt: skip
    if (search := one.search) is not None:
        facts["search"] = f"of {search.label} in {search.env}, {search.trials} trials of {search.budget:,}"
        facts["space"] = [{"field": name, "domain": str(domain)} for name, domain in search.space.items()]
    return facts


def print_rows(where: Console, rows: Rows) -> None:
    """Print rows as a table, or nothing if there are none."""
    if rows:
        where.print(table(rows))


def table(rows: Rows) -> Table:
    """Rows as a table."""
    made = terminal.table(*rows[0])
    for row in rows:
        made.add_row(*(show(value) for value in row.values()))
    return made


def print_facts(where: Console, facts: dict[str, str | Rows]) -> None:
    """Print the result of `facts_of`: texts with their headings (the description without one) and tables, in order."""
    for name, value in facts.items():
        if not isinstance(value, str):
            print_rows(where, value)
        else:
            where.print(value if name == "about" else f"{name}: {value}")
