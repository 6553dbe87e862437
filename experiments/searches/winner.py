"""The best trial of a search as an experiment that compares the tuned agent with the default one."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from prospect_rl.experiments.api import GPU, Claim, Experiment, Tier
from prospect_rl.experiments.register import load
from prospect_rl.experiments.reports.claims import scores_of
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.searches.study import Study, Trial, shown
from prospect_rl.experiments.sweeps.job import plan

FILE = '''"""{title}.

{text}
Written by `prospect search`; run it with: prospect run {path} --tier {tier}
"""

from prospect_rl.experiments.register import load
from prospect_rl.experiments.searches.winner import compare

EXPERIMENT = compare(
    load({reference!r}),
    label={label!r},
    env={env!r},
    settings={settings},
    metric={metric!r},
    better={better!r},
    text={text!r},
)
'''


def compare(
    base: Experiment, *, label: str, env: str, settings: Mapping[str, Any], metric: str,
    better: Literal["higher", "lower"] = "higher", text: str = "",
) -> Experiment:  # fmt: skip
    """An experiment that compares `base`'s agent `label` with (`tuned`) and without (`default`) changed settings.

    Tiers, seeds and budgets are those of `base`. Raises ValueError if it lacks the agent, or the agent rejects them.
    """
    searched = base.tier(base.search.tier if base.search else "repro")

    def tier(name: str) -> Tier:
        one = base.tier(name)
        fields = {env: one.env_fields.get(env, searched.env_fields.get(env, {}))}
        tasks = (env,) if env in one.envs else one.envs
        agent = replace(one, env_fields=fields).agent_of(label, env)
        data = one.data_of(label, env) or searched.data_of(label, env)
        return replace(
            one, agents={"default": agent, "tuned": replace(agent, **settings)}, envs=(env,),
            seeds=one.seeds_of(label), exams={}, datasets={env: data} if data else {},
            budget=max(one.budget_of(task, label) for task in tasks), env_fields=fields, sized={}, seen=0,
            gpu_seeds=None,
        )  # fmt: skip

    claim = Claim(
        "tuned", f"{label} with {shown(settings)} ends {better} in {metric} than as it was",
        f"the search of {base.name}, on other seeds", metric, env, "tuned", "default", better=better,
        kind="check", scores=scores_of(base, env, metric),
    )  # fmt: skip
    return Experiment(
        name=f"{base.name}_best", title=f"{base.title}: {label} as it was and tuned", text=text, source=base.source,
        smoke=tier("smoke"), repro=tier("repro"), paper=tier("paper"), gpu=tier(GPU) if base.gpu else None,
        claims=(claim,), gpu_claims=(claim,) if base.gpu else (), derived=base.derived,
        metrics=tuple(dict.fromkeys((metric, *base.metrics))), pictures=("curves",),
    )  # fmt: skip


def write(study: Study) -> tuple[Trial | None, Path | None]:
    """Write best.json and, unless trial 0 is the best, the experiment; returns the best trial and the file.

    Raises ValueError if a tier rejects the trial's settings.
    """
    best, search = study.best(), study.search
    path = study.folder / f"{study.experiment.name}_best.py"
    if best is None:
        return None, None
    durable.write(study.folder / "best.json", durable.dumps(_facts(study, best), indent=1).encode())
    if not best.settings:
        path.unlink(missing_ok=True)
        return best, None
    was = study.last(study.trials[0])[1] if study.state(study.trials[0]) == "finished" else None
    text = (
        f"Trial {best.number} of {len(study.trials)} ({shown(best.settings)}) reached {study.last(best)[1]:.4g} in "
        f"{search.metric}" + (f"; the agent as it was: {was:.4g}." if was is not None else ".")
    )
    source = FILE.format(
        title=f"{study.experiment.title}: the winner of its search", text=text, path=path, tier=search.tier,
        label=search.label, env=search.env, metric=search.metric, better=search.better,
        reference=study.experiment.reference,
        settings=pprint.pformat(dict(best.settings), width=100, sort_dicts=False),
    )  # fmt: skip
    durable.write(path, source.encode())
    made = load(str(path))
    for tier in made.tiers:
        plan(made, tier)
    return best, path


def _facts(study: Study, best: Trial) -> dict[str, Any]:
    def facts(trial: Trial) -> dict[str, Any]:
        rows, score = study.last(trial)
        return {
            "trial": trial.number, "settings": durable.canonical(trial.settings), "state": study.state(trial),
            "rows": rows, "score": score, "folder": trial.job.out.parent.name,
        }  # fmt: skip

    search = study.search
    return {
        "experiment": study.experiment.reference, "label": search.label, "env": search.env, "metric": search.metric,
        "better": search.better, "best": facts(best), "trials": [facts(trial) for trial in study.trials],
    }  # fmt: skip
