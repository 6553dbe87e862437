"""Scores: published pairs of return and score, the ends of the scale, a controller's returns as measured."""

from pathlib import Path

import pytest

from prospect_rl.envs.data import scores
from prospect_rl.experiments.bench.floors import pointmaze as floors
from prospect_rl.experiments.bench.floors.table import BEGIN, END


@pytest.mark.parametrize(
    ("env", "mean_return", "score"),
    [
        ("half_cheetah", 10703.437, 88.5), ("half_cheetah", 4909.088, 41.8), ("walker2d", 4924.761, 107.2),
        ("walker2d", 3697.808, 80.5), ("hopper", 3561.866, 110.1), ("hopper", 1621.469, 50.4),
    ],
)  # fmt: skip
def test_d4rls_scores_are_the_published_ones(env, mean_return, score):
    assert scores.d4rl_score(f"mujoco/{env}", mean_return) == pytest.approx(score, abs=0.06)


def test_the_ends_of_the_scale():
    for env, (random, reference) in scores.D4RL.items():
        assert scores.d4rl_score(env, random) == 0 and scores.d4rl_score(env, reference) == pytest.approx(100)
    assert scores.d4rl_score("maze2d/large", 140.345) == pytest.approx(50)
    assert scores.controller_share("maze2d/large", 279.9) == pytest.approx(0.5)


def test_the_controllers_returns_are_those_of_the_table():
    table = Path(floors.README).read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [line.split("|") for line in table.splitlines() if "`" in line]
    assert {row[1].strip(" `"): float(row[2].split("±")[0]) for row in rows} == scores.CONTROLLER


def test_what_a_clean_controller_scores():
    found = [
        scores.d4rl_score(f"maze2d/{maze}", scores.CONTROLLER[f"maze2d/{maze}"])
        for maze in ("umaze", "medium", "large")
    ]
    assert [round(score) for score in found] == [147, 156, 207]


def test_environments_without_references_are_one_line():
    with pytest.raises(ValueError, match="unknown environment with D4RL's references 'maze2d/larg'; did you mean"):
        scores.d4rl_score("maze2d/larg", 1.0)
    with pytest.raises(ValueError, match="unknown environment with a controller"):
        scores.controller_share("mujoco/hopper", 1.0)
