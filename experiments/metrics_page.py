"""The text of docs/metrics.md, made of the registered metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prospect_rl.experiments.metrics import METRICS, Metric


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
- `reading/`, `trees/`: a policy of linear experts read after the end: what its law is worth as trained, as printed, by
  trees and by single experts, and how the trees agree with the router, on episodes that they were not fitted on.
- `collect/`: episodes that ended in training since the row before.
- `ledger/`: all evaluations of a search over policies, counted by the driver and not by the agent. An empty value of
  `first`, `reached` and their kin means: never; it is left out of means, which then say of how many runs they are.
- `start/`, `critique/`: how far a policy of texts is from its cold start, and what a critic says of its texts.
- `groups/`, `verifier/`, `rm/`: groups of answers to the same problem, what judges them, and the reward model.
- `archive/`, `emitters/`, `features/`, `learn/`, `bonus/`, `replay/`: what the agent says of its last iteration.
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
