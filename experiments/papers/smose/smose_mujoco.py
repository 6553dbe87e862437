"""SMoSE compared with policies of equal size, a linear one and a tree, on dense MuJoCo tasks."""

from __future__ import annotations

from typing import Any

from prospect_rl.agents import PPO, Smose, TreeDagger
from prospect_rl.agents.api import Agent, Spec
from prospect_rl.experiments.api import Claim, Experiment, Tier
from prospect_rl.experiments.papers.smose.common import (
    PAPER_BUDGET,
    POSTER,
    READS,
    REDUCED,
    RIVAL,
    SMALL,
    SOURCE,
    derived,
    linear,
    medium,
    sac,
    small,
)

HOPPER, CHEETAH, WALKER = "mujoco/hopper", "mujoco/half_cheetah", "mujoco/walker2d"
REACHER, ANT, SWIMMER = "mujoco/reacher", "mujoco/ant", "mujoco/swimmer"
ROBOTS = (HOPPER, CHEETAH, WALKER)
BOUNDS = {"trees_agreement": 0.9, "trees_balanced": 0.8, "trees_kept": 0.9, "trees_gain": 0.0}
"""Figure of the trees -> what it must exceed."""
V4 = {env: {"version": "v4"} for env in (HOPPER, WALKER, REACHER, ANT)}
"""The source's versions; those of HalfCheetah and Swimmer do not differ."""


def agents(**fields: Any) -> dict[str, Agent]:
    """Label -> agent; the actors of `sac_s` and `sac_m` and the steps of the tree's teacher follow from the task."""
    return {
        "smose": Smose(**fields), "sac_s": sac(**fields), "sac_m": sac(**fields), "sac": sac(**fields),
        "linear": linear(**fields), "tree": TreeDagger(**RIVAL | fields),
        "ppo": PPO(num_envs=8, length=256, epochs=10, minibatches=32, normalise_obs=True, normalise_rewards=True,
                   greedy=True),
    }  # fmt: skip


def taught(spec: Spec) -> dict[str, Any]:
    """The steps of the tree's teacher in the reduced tier."""
    return {"teacher_steps": 45_000 if spec.id == REACHER else 120_000}


def seeds(of_claims: int) -> dict[str, int]:
    """Label -> number of seeds; those of the claim on equal size have more."""
    return {label: of_claims if label in ("smose", "sac_s", "linear") else 5 for label in agents()}


def together(name: str, text: str, right: str, **test: Any) -> Claim:
    """A claim about the three robots together, each in units of SAC-S's mean there."""
    return Claim(
        name, text, metric="eval/return", env=HOPPER, left="smose", right=right, also=(CHEETAH, WALKER), unit="sac_s",
        paper_budget=PAPER_BUDGET, **test,
    )  # fmt: skip


def of_trees(env: str) -> tuple[Claim, ...]:
    """Claims about trees of depth 3 on the runs that have two experts above a tenth of the steps."""
    task = env.rpartition("/")[2]
    said = {
        "trees_agreement": "choose the router's expert at more than .9 of other episodes' steps",
        "trees_balanced": "have a balanced accuracy above .8, as a mean over experts",
        "trees_kept": "in place of the router keep more than .9 of its return, both with the laws as printed",
        "trees_gain": "in place of the router are paid more than the best single expert alone",
    }
    return tuple(
        Claim(
            f"T {figure.removeprefix('trees_')} {task}",
            f"Where two experts have above a tenth of the steps on {task}, trees of depth 3 {said[figure]}.",
            "ours; the poster shows trees of depth 3 and no figures of them", figure, env, "smose", margin=margin,
            paper_budget=PAPER_BUDGET, kind="check",
        )
        for figure, margin in BOUNDS.items()
    )  # fmt: skip


def smoke() -> Tier:
    """A mixture, its rival of equal size and the tree on the task with the shortest episodes."""
    every = agents(**SMALL)
    every["tree"] = TreeDagger(teacher_steps=500, round_steps=100, **RIVAL | SMALL)
    chosen = {label: every[label] for label in ("smose", "sac_s", "tree")}
    return Tier(
        chosen, (REACHER,), seeds=1, budget=1000, evals=2, env_fields={REACHER: V4[REACHER]},
        exams={"smose": READS}, sized={"sac_s": small},
    )  # fmt: skip


EXPERIMENT = Experiment(
    name="smose_mujoco",
    title="SMoSE against policies of equal size on MuJoCo",
    text=(
        "`smose` is SAC with a linear router and eight linear experts, of which one acts at a time. Its rivals differ "
        "in the actor alone, one ReLU layer with as many parameters as the router and one expert (`sac_s`) or as "
        "router and all experts (`sac_m`), or the critics' own layers (`sac`); `linear` is one expert, which needs no "
        "router; `tree` imitates a SAC teacher that is trained in four fifths of its budget (three quarters on "
        "Reacher); `ppo` has the usual settings. Critics have 128 units in the reduced tier. Returns of SMoSE are "
        "those of its policy as trained; the law as it is printed, trees in place of the router and the best expert "
        "alone stand below. Ant and Swimmer, where the poster itself has SMoSE below SAC-S, are in the full tier "
        "only, without claims."
    ),
    source=SOURCE,
    smoke=smoke(),
    repro=Tier(
        agents(**REDUCED), (*ROBOTS, REACHER), seeds=seeds(10),
        budget={env: 60_000 if env == REACHER else 150_000 for env in (*ROBOTS, REACHER)}, evals=15, eval_episodes=10,
        env_fields={env: V4[env] for env in (HOPPER, WALKER, REACHER)}, exams={"smose": READS},
        sized={"sac_s": small, "sac_m": medium, "tree": taught},
    ),
    paper=Tier(
        agents(), (*ROBOTS, REACHER, ANT, SWIMMER), seeds=seeds(10), budget=PAPER_BUDGET, evals=100,
        eval_episodes=10, env_fields=V4, exams={"smose": READS}, 
        sized={"sac_s": small, "sac_m": medium, "tree": lambda _: {"teacher_steps": 800_000}},
    ),
    claims=(
        together(
            "E equal size",
            "SMoSE keeps more than .85 of SAC-S's return over Hopper, HalfCheetah and Walker2d together.",
            "sac_s", part=0.85, source=f"{POSTER}: 2816 to 3076, 7310 to 7214, 4224 to 2967; the part is ours",
            kind="paper",
        ),
        together(
            "E linear", "SMoSE ends above one linear policy over Hopper, HalfCheetah and Walker2d together.", "linear",
            source="ours", kind="check",
        ),
        together(
            "E tree", "SMoSE ends above a tree that imitates SAC over Hopper, HalfCheetah and Walker2d together.",
            "tree", source=f"ours; the rivals in the {POSTER} are genetic programs", kind="check",
        ),
        *(claim for env in ROBOTS for claim in of_trees(env)),
    ),
    derived=derived(),
    metrics=(
        "eval/return", "eval/linear/return", "reading/trained", "reading/linear", "reading/trees",
        "reading/best_expert", "reading/main_experts", "reading/usage_entropy", "trees/agreement", "trees/balanced",
        "trees/none", "trees/several", "trees/nodes", "learn/value",
    ),
    pictures=("curves",),
)  # fmt: skip
