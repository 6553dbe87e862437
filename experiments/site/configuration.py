"""Configuration of the runs beside the paper tier's: budgets, seeds, and the fields of each agent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prospect_rl.experiments.api import GPU, Tier
from prospect_rl.experiments.options import options_of, show
from prospect_rl.experiments.site.html import Html, cell, element, markup, prose, table
from prospect_rl.experiments.site.results import Results


def configuration(results: Results) -> Html:
    """The settings of the tier and the fields of its agents; differences from the paper tier are marked."""
    ours, paper = results.tier, results.experiment.paper
    kinds: dict[type, list[str]] = {}
    for label, agent in ours.agents.items():
        kinds.setdefault(type(agent), []).append(label)
    note = "Marked: what differs from the paper tier."
    fields = [_fields(kind, labels, ours, paper) for kind, labels in kinds.items()]
    return markup([element("p", note, class_="note"), _settings(results.tier_name, ours, paper), *fields])


def _settings(name: str, ours: Tier, paper: Tier) -> Html:
    lines = [
        *(("budget", env, _budget(ours, env), _budget(paper, env) if env in paper.envs else None) for env in ours.envs),
        *(
            ("seeds", label, ours.seeds_of(label), paper.seeds_of(label) if label in paper.agents else None)
            for label in ours.agents
        ),
        *(
            ("seeds on a GPU", label, ours.seeds_of(label, GPU), None)
            for label in ours.agents
            if ours.seeds_of(label, GPU) != ours.seeds_of(label)
        ),
        ("evaluations in a run", "all", ours.evals, paper.evals),
        ("episodes of an evaluation", "all", ours.eval_episodes, paper.eval_episodes),
        *(
            (f"field {field}", env, ours.env_fields.get(env, {}).get(field), paper.env_fields.get(env, {}).get(field))
            for env in ours.envs
            for field in sorted({*ours.env_fields.get(env, {}), *paper.env_fields.get(env, {})})
        ),
    ]
    lines += _changes(ours, paper)
    lines += [("environment", env, None, "run") for env in paper.envs if env not in ours.envs]
    lines += [("agent", label, None, "run") for label in paper.agents if label not in ours.agents]
    rows = [[what, of, *(_value(value, x != y) for value in (x, y))] for what, of, x, y in lines]
    return table(
        ["setting", "of", f"tier {name}", "tier paper"], rows, caption="Settings of the runs and of the paper's"
    )


def _budget(tier: Tier, env: str) -> int | tuple[int, ...]:
    """The budget in an environment, or all of them where agents have different ones."""
    first, *others = tier.budgets_in(env)
    return (first, *others) if others else first


def _changes(ours: Tier, paper: Tier) -> list[tuple[str, str, Any, Any]]:
    """(field, agents, our value, paper's value) of fields that differ; agents with the same difference share one."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for label, agent in ours.agents.items():
        for option in options_of(type(agent)):
            value, theirs = getattr(agent, option.name), _of_paper(paper, label, type(agent), option.name)
            if theirs is not None and theirs != (value,):
                found.setdefault((f"field {option.name}", show(value), show(theirs[0])), []).append(label)
    return [(field, ", ".join(labels), value, theirs) for (field, value, theirs), labels in found.items()]


def _value(value: Any, differs: bool) -> Html:
    shown = f"{value:,}" if type(value) is int else "–" if value is None else show(value)
    return cell(shown, kind="differs" if differs else None)


def _fields(kind: type, labels: Sequence[str], ours: Tier, paper: Tier) -> Html:
    """A table of the fields of one class of agents, one column per agent."""
    rows, changed = [], set()
    for option in options_of(kind):
        cells = []
        for label in labels:
            value, theirs = getattr(ours.agents[label], option.name), _of_paper(paper, label, kind, option.name)
            if theirs is None or theirs == (value,):
                cells.append(show(value))
            else:
                changed.add(option.name)
                cells.append(cell([show(value), element("small", f"paper: {show(theirs[0])}")], kind="differs"))
        rows.append([option.name, *cells, cell(prose(option.text), kind="words")])
    missing = [label for label in labels if type(paper.agents.get(label)) is not kind]
    note = f"fields that differ from the paper tier: {len(changed)}" if changed else "as in the paper tier"
    note = f"not in the paper tier: {', '.join(missing)}" if missing else note
    summary = element("summary", f"{kind.__name__}: {', '.join(labels)} ({note})")
    head = ["field", *labels, "meaning"]
    return element("details", summary, table(head, rows, caption=f"Fields of {kind.__name__}"))


def _of_paper(paper: Tier, label: str, kind: type, field: str) -> tuple[Any] | None:
    """The paper tier's value of a field, in a 1-tuple because None is a valid value; None if it lacks that agent."""
    agent = paper.agents.get(label)
    return (getattr(agent, field),) if type(agent) is kind else None
