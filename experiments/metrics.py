"""The metrics that runs write: what each is in words, its unit, how its values are spread, where it is computed.

Tables, pictures and pages take their words from here, the intervals of claims their method, and docs/metrics.md is
made of it. A name may hold numbers: `{k}` stands for one (a reward area, a phase), `{exam}` for the name of an exam.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from prospect_rl.envs.names import unknown

Kind = Literal["real", "bounded", "skewed"]


@dataclass(frozen=True)
class Metric:
    """One metric, or a family of them that differ in a number."""

    name: str
    """As in metrics.jsonl, summary.csv and claims."""
    words: str
    """What tables and pictures call it; `{area}` is the area's own name, where the environment has one."""
    unit: str
    where: tuple[str, ...]
    """`file: attribute`, the functions that compute it."""
    kind: Kind = "real"
    """How its values over seeds are spread: see `experiments.api.Scores`."""
    low: float = -math.inf
    """Of a bounded one."""
    high: float = math.inf


@dataclass(frozen=True)
class Place:
    """What words say of one environment, or of all whose ids begin so."""

    areas: tuple[str, ...] = ()
    """Names of its reward areas."""
    returns: tuple[float, float] | None = None
    """Bounds of an episode's return."""
    exam: str = "in exam {exam}"
    """What the name of an exam means."""
    exams: str = "exam"
    """The same for an axis of exams whose names are numbers."""


PLACES: dict[str, Place] = {
    "maze/": Place(("the far goal", "the near goal"), (0, 1)),
    "arm/": Place(("the lower left goal", "the upper right goal", "the upper left goal"), (0, 1)),
    "point/": Place(
        ("the upper right square", "the upper left square", "the lower square", "the left square"), (0, 50)
    ),
    "minigrid/Dynamic-Obstacles": Place(returns=(-1, 1)),
    "minigrid/": Place(returns=(0, 1)),
    "popgym/": Place(returns=(-1, 1)),
    "memory/tmaze": Place(returns=(0, 1), exam="in T-Mazes of {exam} steps", exams="steps of the T-Maze"),
}
"""Beginning of an environment's id -> what is known of it; the first that fits counts."""

# --- where it is computed ----------------------------------------------------------------------------

EVALUATE = ("experiments/run/program.py: Program._evaluate_of",)
COLLECT = ("experiments/run/rows.py: row_of",)
EXAM = ("experiments/run/exams.py: run_exams",)
SEEN = ("experiments/run/ledger.py: summary", "experiments/run/ledger.py: update")
STORED = ("experiments/run/ledger.py: summary", "experiments/run/ledger.py: update_stored")
SERENE = ("agents/evolution/serene/state.py: figures",)
ARCHIVES = ("agents/evolution/rows.py: archive_metrics", "agents/ops/grid.py: summary", *SERENE)
STUDY = ("agents/evolution/serene/study.py: EmitterStudy._metrics",)
GRPO = ("agents/language/grpo.py: GRPO.loss",)
PPO = ("agents/online/ppo.py: PPO.loss",)
TD3 = "agents/online/td3.py: TD3Updates.critic_loss"
SAC = "agents/online/sac.py: SACUpdates.critic_loss"
SAC_ACTOR = "agents/online/sac.py: SACUpdates.actor_loss"
MBPO = ("agents/online/mbpo.py: MBPO.learn",)
MEX = "agents/online/mex/mex.py: MEX.critic_loss"
TABULAR = ("agents/online/mex/tabular.py: TabularMEX.learn",)
MODEL_BASED = ("agents/online/mex/model_based.py: MEXMB.model_loss",)
AWAC = "agents/offline/awac.py: AWAC.critic_loss"
IQL = "agents/offline/iql.py: IQL.loss"
CQL_UPDATE = "agents/offline/cql.py: CQL.update"
CQL = "agents/offline/cql.py: CQL.critics_loss"
DICE = ("agents/offline/cde/optidice.py: OptiDICE.values_loss",)
DICE_POLICY = ("agents/offline/cde/optidice.py: OptiDICE.update",)
ICM = ("agents/online/exploration/icm.py: ICM.model_loss",)
NEW = tuple(
    f"agents/online/exploration/{file}.bonus" for file in ("count.py: Count", "noveld.py: NovelD", "ride.py: RIDE")
)
GROUPS = ("agents/language/grpo.py: GRPO.group_figures",)
HERO = ("agents/language/hero.py: HERO.rewards",)
CDE_E = ("agents/offline/cde/cde.py: CDE.e_loss",)
BONUS = ("agents/online/exploration/bonus.py: Explorer.rewards",)
DATA = ("experiments/run/member.py: Member", "envs/data/datasets.py: count")
CLIMB = ("experiments/papers/serene/common.py: climb",)
REACH = ("experiments/papers/elmur/elmur_theory.py: reach",)
FIRST = ("experiments/papers/serene/common.py: log_first",)


def _share(name: str, words: str, where: tuple[str, ...]) -> Metric:
    """A share of something, between 0 and 1."""
    return Metric(name, words, "share", where, "bounded", 0.0, 1.0)


def _count(name: str, words: str, where: tuple[str, ...], unit: str = "evaluations") -> Metric:
    """A number of something until something, with a long tail."""
    return Metric(name, words, unit, where, "skewed")


_ALL = (
    # what the agent would ship, in whole episodes
    Metric("eval/return", "return of an evaluation", "reward", EVALUATE),
    Metric("eval/length", "length of an evaluation's episodes", "steps", EVALUATE),
    _share("eval/success", "success rate", EVALUATE),
    Metric("unseen/return", "return on unseen levels", "reward", EVALUATE),
    Metric("unseen/length", "length of episodes on unseen levels", "steps", EVALUATE),
    _share("unseen/success", "success rate on unseen levels", EVALUATE),
    Metric("exam/{exam}/return", "return {exam}", "reward", EXAM),
    Metric("exam/{exam}/length", "length of episodes {exam}", "steps", EXAM),
    _share("exam/{exam}/success", "success rate {exam}", EXAM),
    Metric("exam_best/{exam}/return", "return of the best checkpoint {exam}", "reward", EXAM),
    Metric("exam_best/{exam}/length", "length of episodes of the best checkpoint {exam}", "steps", EXAM),
    _share("exam_best/{exam}/success", "success rate of the best checkpoint {exam}", EXAM),
    # episodes that ended in training since the row before
    Metric("collect/episodes", "episodes that ended in training", "episodes", COLLECT),
    Metric("collect/return", "return in training", "reward", (*COLLECT, *TABULAR)),
    Metric("collect/length", "length of episodes in training", "steps", COLLECT),
    _share("collect/success", "success rate in training", COLLECT),
    Metric("collect/failed", "episodes that the simulator cut short", "episodes", COLLECT),
    Metric("collect/invalid", "policies so far whose return or descriptor was not finite", "policies",
           ("experiments/run/program.py: Program._step_of",)),
    # all evaluations of a search over policies; coverage and uniformity are real: see `experiments.api.Scores`
    Metric("ledger/coverage", "coverage", "share", SEEN),
    Metric("ledger/coverage_all", "coverage, trials of emitters included", "share", SEEN),
    Metric("ledger/uniformity", "uniformity of the exploration", "share",
           ("experiments/run/ledger.py: uniformity", SEEN[0])),
    Metric("ledger/best_{k}", "best reward in {area}", "reward", SEEN),
    _count("ledger/first_{k}", "evaluations to the first reward in {area}", SEEN),
    _count("ledger/reached_{k}", "evaluations to a reward of .9 in {area}", SEEN),
    Metric("ledger/paid_{k}", "evaluations rewarded in {area}", "evaluations", SEEN),
    Metric("ledger/stored_best_{k}", "best stored reward in {area}", "reward", STORED),
    _count("ledger/stored_first_{k}", "evaluations to the first stored reward in {area}", STORED),
    _count("ledger/stored_reached_{k}", "evaluations to a stored reward of .9 in {area}", STORED),
    Metric("ledger/phase_{k}", "evaluations in phase {k}", "evaluations", SEEN),
    # archives and emitters
    Metric("archive/size", "policies stored", "policies", ARCHIVES),
    Metric("archive/rewards", "rewarded policies stored", "policies", SERENE),
    Metric("archive/overflow", "policies for which an archive had no room", "policies", ARCHIVES),
    Metric(
        "archive/best_{k}", "best reward in {area}, now stored", "reward",
        (*ARCHIVES, "agents/evolution/random_search.py: RandomSearch.learn"),
    ),
    Metric("emitters/candidates", "rewarded policies not yet tried as emitters", "policies", SERENE),
    Metric("emitters/active", "emitters under way", "emitters", SERENE),
    Metric("emitters/lost", "emitters for which their table had no room", "emitters", SERENE),
    Metric("emitters/mean", "mean reward of the emitters' policies", "reward", STUDY),
    Metric("emitters/best", "best reward of an emitter, mean over emitters", "reward", STUDY),
    Metric("emitters/improvement", "improvement of an emitter, mean over emitters", "reward", STUDY),
    Metric("emitters/steps", "generations of an emitter", "generations", STUDY),
    Metric(
        "learn/stored", "policies stored in the last batch", "policies",
        ("agents/evolution/map_elites.py: MAPElites.learn", "agents/evolution/cma_me.py: CMAME.learn"),
    ),
    Metric("learn/restarts", "restarts of emitters", "restarts", ("agents/evolution/cma_me.py: CMAME.learn",)),
    # actors and critics
    Metric("learn/loss_critic", "loss of the critics", "loss", (TD3, SAC, MEX, AWAC, IQL, CQL)),
    Metric(
        "learn/loss_actor", "loss of the actor", "loss",
        ("agents/online/td3.py: TD3Updates.update", SAC_ACTOR, "agents/offline/awac.py: AWAC.update", IQL),
    ),
    Metric("learn/value", "value that the agent expects", "reward", (TD3, SAC, MEX, AWAC, IQL, CQL, *PPO, *TABULAR)),
    Metric("learn/entropy", "entropy of the policy", "nats", (SAC_ACTOR, *PPO, *GRPO)),
    Metric("learn/alpha", "weight of the entropy", "", ("agents/online/sac.py: SACUpdates.update", CQL_UPDATE)),
    Metric("replay/size", "transitions in the replay", "transitions",
           ("agents/online/off_policy.py: OffPolicy.learn", *MBPO)),
    Metric("replay/imagined", "imagined transitions in the replay", "transitions", MBPO),
    Metric("learn/loss_v", "loss of the state value", "loss", (IQL, *DICE)),
    Metric("learn/gap", "gap between values of the policy's and of the data's actions", "reward", (MEX, CQL)),
    Metric("learn/price", "multiplier of the conservative loss", "", (CQL_UPDATE,)),
    # PPO
    Metric("learn/loss_policy", "loss of the policy", "loss", (*PPO, *GRPO, *DICE_POLICY)),
    Metric("learn/loss_value", "loss of the value", "loss", PPO),
    _share("learn/clipped", "share of clipped ratios", (*PPO, *GRPO)),
    Metric("learn/kl", "divergence from the policy that played", "nats", (*PPO, *GRPO)),
    Metric("learn/rate", "learning rate", "", ("agents/online/ppo.py: PPO.learn",)),
    # groups of episodes from the same start, and the reward model that orders them
    _share("groups/wrong", "share of groups without a right answer", GROUPS),
    _share("groups/right", "share of groups with right answers alone", GROUPS),
    _share("groups/success", "success rate of the groups' episodes", GROUPS),
    Metric("groups/advantage", "size of the advantages", "reward", GROUPS),
    Metric("groups/reward", "reward that is learned from", "reward", GROUPS),
    _share("groups/verified_wrong", "share of groups without an accepted answer", HERO),
    _share("groups/verified_right", "share of groups with accepted answers alone", HERO),
    Metric("groups/weight", "relative change of advantages by the groups' weights", "ratio", HERO),
    _share("rm/auroc", "reward model: right answers above wrong ones", HERO),
    Metric("rm/rank", "reward model: rank correlation with progress where all are wrong", "correlation", HERO),
    _share("rm/hacked", "share of answers that never end", HERO),
    Metric("rm/dropped", "scores of the reward model that are not finite", "answers", HERO),
    # bonuses for exploring
    Metric("bonus/mean", "bonus for exploring, mean over steps", "reward", BONUS),
    Metric("bonus/weight", "weight of the bonus", "", BONUS),
    _share("bonus/new", "share of steps to a state new in its episode", NEW),
    _share("bonus/used", "share of the table of counts in use", NEW[:1]),
    Metric(
        "learn/loss_model", "loss of the model", "loss",
        ("agents/online/exploration/rnd.py: RND.model_loss", "agents/online/mbpo.py: MBPO.model_loss", *MODEL_BASED,
         "agents/language/hero.py: HERO.fitted"),
    ),
    Metric("learn/loss_forward", "error of the forward model", "loss", ICM),
    Metric("learn/loss_inverse", "error of the inverse model", "loss", ICM),
    # models of the environment, and MEX
    Metric("learn/model_error", "error of the model on rows kept out", "loss", MBPO),
    Metric("learn/model_epochs", "epochs of the model's last training", "epochs", MBPO),
    Metric("learn/value_term", "value term of the loss", "reward", (MEX, *MODEL_BASED)),
    Metric("learn/likelihood", "negative log-likelihood of the model", "nats", MODEL_BASED),
    Metric("learn/advantage", "advantage of what the model imagines", "reward", MODEL_BASED),
    Metric("learn/advantage_spread", "standard deviation of that advantage", "reward", MODEL_BASED),
    Metric("learn/objective", "objective of the model's choice", "nats", TABULAR),
    Metric("learn/start", "start from which the best model was found", "index", TABULAR),
    Metric("learn/visited", "pairs of state and action tried", "pairs", TABULAR),
    # from data alone
    Metric("learn/loss", "loss of the imitation", "loss",
           ("agents/offline/bc.py: BC.learn", "agents/sequence/imitation.py: SequenceBC.learn")),
    Metric("learn/loss_e", "loss of the edge value", "loss", DICE),
    Metric("learn/loss_behaviour", "loss of the behaviour model", "loss", DICE),
    Metric("learn/ratio_v", "density ratio by the state value, mean", "ratio", DICE),
    Metric("learn/ratio_e", "density ratio by the edge value, mean", "ratio", DICE),
    Metric("learn/log_c", "log weight of the entropy", "", DICE_POLICY),
    _share("learn/outside_above", "share of unseen actions above the limit", CDE_E),
    Metric("data/rows", "rows of the data", "rows", DATA),
    Metric("data/episodes", "episodes of the data", "episodes", DATA),
    Metric("data/paid", "rewarded episodes of the data", "episodes", DATA),
    Metric("data/paid_last", "episodes of the data with a reward at their end", "episodes", DATA),
    Metric("learn/reward", "reward of a step", "reward", ("agents/floor.py: Floor.learn",)),
    # what experiments work out from a final row
    Metric("log10_first", "log10 of the evaluations to the first reward", "log10 evaluations", FIRST),
    Metric("log10_first_{k}", "log10 of the evaluations to the first reward in {area}", "log10 evaluations", FIRST),
    _count("climb_{k}", "evaluations from the first reward to .9 in {area}", CLIMB),
    _count("stored_climb_{k}", "evaluations from the first stored reward to .9 in {area}", CLIMB),
    _share("solved", "share of seeds that open the lock", ("experiments/papers/mex/mex_lock.py: solved",)),
    Metric("reach", "log2 of the steps at which success falls below .75", "log2 steps", REACH),
    Metric("d4rl score", "D4RL score", "% of the reference", ("envs/data/scores.py: d4rl_score",)),
    Metric("of a clean controller", "controller ratio", "ratio", ("envs/data/scores.py: controller_share",)),
)  # fmt: skip
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Name -> metric, in the order of docs/metrics.md."""


@cache
def _patterns() -> list[tuple[re.Pattern[str], Metric]]:
    return [
        (re.compile(re.escape(name).replace(r"\{k\}", r"(?P<k>\d+)").replace(r"\{exam\}", r"(?P<exam>[^/]+)")), metric)
        for name, metric in METRICS.items()
        if "{" in name
    ]


def place_of(env: str) -> Place:
    """What words say of an environment."""
    return next((place for beginning, place in PLACES.items() if env.startswith(beginning)), Place())


def area_of(k: int, env: str) -> str:
    """The name of a reward area: `the far goal`; `area 3` where it has none of its own."""
    areas = place_of(env).areas
    return areas[k] if k < len(areas) else f"area {k}"


def metric_of(name: str, env: str = "") -> Metric:
    """The metric of this name, with its words and bounds as they are in an environment, where one is given.

    Raises ValueError with the nearest name for one that no run writes.
    """
    metric, found = METRICS.get(name), {}
    if metric is None or "{" in name:
        pairs = ((pattern.fullmatch(name), each) for pattern, each in _patterns())
        match, metric = next(((match, each) for match, each in pairs if match), (None, None))
        if match is None or metric is None:
            raise unknown("metric", name, METRICS)
        found = match.groupdict()
    place, words = place_of(env), metric.words
    if "k" in found:
        words = words.format(k=found["k"], area=area_of(int(found["k"]), env))
    elif "exam" in found:
        exam = f"{int(found['exam']):,}" if found["exam"].isdecimal() else found["exam"]
        words = words.format(exam=place.exam.format(exam=exam))
    if place.returns and name.startswith(RETURNS) and metric.unit == "reward":
        low, high = map(float, place.returns)
        if name == "emitters/improvement":
            low, high = low - high, high - low
        return replace(metric, name=name, words=words, kind="bounded", low=low, high=high)
    return replace(metric, name=name, words=words)


RETURNS = ("eval/", "unseen/", "collect/", "exam", "ledger/best_", "ledger/stored_best_", "archive/best_", "emitters/")
"""Beginnings of the names of metrics in units of reward that lie between the bounds of a return."""


def sentence(text: str, env: str) -> str:
    """A claim's text with the reward areas called by their names."""
    return re.sub(r"\b(?:goal )?area (\d+)", lambda found: area_of(int(found[1]), env), text)


def words_of(name: str, env: str = "") -> str:
    """A metric in words; one that is not registered (of an agent or experiment of the user's own) keeps its name."""
    try:
        return metric_of(name, env).words
    except ValueError:
        return name


def number(x: float, digits: int = 3) -> str:
    """Three significant digits, or so many; whole numbers from 1000 up; an en dash for none."""
    if not math.isfinite(x):
        return "–"
    x += 0.0  # a negative zero loses its sign
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.{digits}g}"


# --- docs/metrics.md ---------------------------------------------------------------------------------


def page(metrics: Mapping[str, Metric] = METRICS) -> str:
    """The text of docs/metrics.md."""
    lines = []
    for metric in metrics.values():
        words = metric.words.replace("{area}", "an area").replace("{exam}", "in an exam").replace("{k}", "k")
        bounds = {"bounded": f"{metric.low:g} to {metric.high:g}", "skewed": "long tail", "real": ""}[metric.kind]
        places = "; ".join(f"`{place}`" for place in metric.where)
        lines.append(f"| `{metric.name}` | {words} | {metric.unit} | {bounds} | {places} |")
    return PAGE + "\n".join(lines) + "\n\nMade by `prospect report --all`; edits are overwritten.\n"


PAGE = """# Metrics

A run appends a row for each seed at each of its marks to `metrics.jsonl`: `seed`, `mark`, `unit`, `iteration`, `used`
(of the budget), then metrics. The last row of a seed is its final one; `summary.csv` of an experiment has one line for
it. Tables and pictures call a metric by its words. `{k}` is the number of a reward area or a phase, `{exam}` the name
of an exam; where an environment's areas have names of their own, the words use them (`best reward in the far goal`).

- `eval/`: whole episodes of what the agent would ship, with random numbers of their own; `unseen/`: the same on levels
  that training never shows; `exam/`: the same in a changed environment, once at the end; `exam_best/`: for the state
  with the best `eval/success`.
- `collect/`: episodes that ended in training since the row before.
- `ledger/`: all evaluations of a search over policies, counted by the driver and not by the agent. An empty value of
  `first`, `reached` and their kin means: never; it is left out of means, which then say of how many runs they are.
- `archive/`, `emitters/`, `learn/`, `bonus/`, `replay/`: what the agent says of its last iteration.
- `data/`: the dataset of an offline agent.
- Names without a slash are worked out by an experiment from a final row.

The column *spread* says how values differ between seeds, which decides how the interval of a claim is made: within
bounds, with a long tail, or neither. A return is within bounds where the environment's is: 0 to 1 in the hard maze, the
arm, MiniGrid and the T-Maze, -1 to 1 in POPGym, 0 to 50 in the sparse point. One exception: coverage and uniformity lie
between 0 and 1, but stand here as neither. They are means over thousands of cells, which chance takes to no bound, so
that a few seeds that agree do say how far others would be off; their intervals are Student's and Welch's t.

| metric | in words | unit | spread | computed in |
| --- | --- | --- | --- | --- |
"""
