"""Data of trained robots: the band that ends the training, whole rows, the sparse reward by hand, one training."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.api import Dataset
from prospect_rl.envs.data import datasets
from prospect_rl.envs.data.scores import d4rl_score
from prospect_rl.experiments.api import Data
from prospect_rl.experiments.recipes.mujoco import InBand, made_sparse

TINY = (("hidden", (8,)), ("learning_starts", 50), ("batch_size", 8), ("capacity", 1000), ("train_every", 50),
        ("updates_per_step", 0.02))  # fmt: skip
FIELDS = {
    "agent": TINY, "rows": 400, "streams": 3, "budget": 400, "every": 100, "eval_episodes": 2, "low": -100.0,
    "high": 100.0,
}  # fmt: skip
NAME = "mujoco/hopper/medium"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / "runs"))


def test_the_sparse_reward_by_hand():
    """Returns 3, 6, 1 and 2; three quarters of them are below 3 + .25 * 3 = 3.75."""
    reward = jnp.array([1.0, 2.0, 4.0, -1.0, 3.0, 1.0, 2.0])
    firsts = jnp.array([0, 2, 5, 6], jnp.int32)
    made = made_sparse(Dataset({"reward": reward}, firsts), 0.75, {"mean score": 1.0})
    assert made.facts == {"mean score": 1.0, "threshold": 3.75}
    assert made.rows["reward"].tolist() == [0, 0, 1, 0, 1, 0, 0]


def test_a_band_holds_scores_of_d4rls_scale():
    band, row = InBand("mujoco/hopper", 40, 55), lambda x: {"eval/return": x, "used": 1}  # noqa: E731
    at = {score: row(-20.272305 + (3234.3 + 20.272305) * score / 100) for score in (39.9, 40.1, 54.9, 55.1)}
    assert [band.holds(one) for one in at.values()] == [False, True, True, False]


@pytest.mark.slow
def test_data_of_a_robot(tmp_path):
    made, card = datasets.make_with_card(NAME, **FIELDS)
    rows = {name: np.asarray(x) for name, x in made.rows.items()}
    datasets.check_fits(made, envs.make("mujoco/hopper").spec)
    assert len(rows["reward"]) == 400 and rows["obs"].dtype == np.float32
    lasts = np.append(np.asarray(made.firsts)[1:], 400) - 1
    np.testing.assert_array_equal(np.flatnonzero(rows["terminated"] | rows["truncated"]), lasts)
    inside = np.setdiff1d(np.arange(400), lasts)
    np.testing.assert_array_equal(rows["next_obs"][inside], rows["obs"][inside + 1])
    assert {133, 267, 399} < set(lasts), "streams are cut"
    assert rows["action"].std() > 0.1, "the policy keeps its spread"
    returns = np.add.reduceat(rows["reward"].astype(float), np.asarray(made.firsts))
    facts = card["facts"]
    assert facts["mean score"] == pytest.approx(d4rl_score("mujoco/hopper", returns.mean()))
    assert facts["trained steps"] == 100, "the first evaluation is in so wide a band"
    run = next((tmp_path / "runs" / "data").iterdir())
    assert run.name.startswith("mujoco-hopper--100-100-")
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert facts["score of the policy"] == pytest.approx(d4rl_score("mujoco/hopper", row["eval/return"]))

    before = (run / "timing.jsonl").read_text()
    sparse, card = datasets.make_with_card(NAME, **FIELDS, sparse=True)
    assert (run / "timing.jsonl").read_text() == before, "it was trained again"
    assert card["facts"] == facts | {"threshold": pytest.approx(np.quantile(returns, 0.75))}
    assert 0 < card["successes"] <= 0.25 * len(returns) + 1
    np.testing.assert_array_equal(sparse.rows["obs"], rows["obs"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_does_not(monkeypatch, tmp_path):
    found = []
    for place, seed in (("one", 0), ("two", 0), ("three", 1)):
        monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path / place / "cache"))
        monkeypatch.setenv("PROSPECT_RUNS", str(tmp_path / place / "runs"))
        found.append(datasets.digest(Data(NAME, FIELDS | {"seed": seed}).make()))
    assert found[0] == found[1] != found[2]


def test_joined_data_is_one_after_the_other(monkeypatch):
    asked, reward = [], {"mujoco/hopper/medium": [1.0, 2.0, 3.0], "mujoco/hopper/expert": [10.0, 20.0]}

    def make(name, **fields):
        asked.append((name, fields))
        return Dataset(
            {"reward": jnp.array(reward[name]), "obs": jnp.array(reward[name])}, jnp.array([0, 1], jnp.int32)
        )

    monkeypatch.setattr(datasets, "make", make)
    recipe = datasets.recipe("mujoco/hopper/medium-expert", rows=3, others=(("low", 1.0),), sparse=True)
    made = recipe.build()
    given = {"env_fields": (("version", "v4"),), "rows": 3, "seed": 0, "low": 1.0}
    assert asked == [(name, given) for name in reward]
    assert made.rows["obs"].tolist() == [1, 2, 3, 10, 20] and made.firsts.tolist() == [0, 1, 3, 4]
    assert made.facts["threshold"] == 12.5 and made.rows["reward"].tolist() == [0, 0, 0, 0, 1]  # 1, 5, 10, 20


@pytest.mark.slow
def test_a_band_that_is_not_reached_is_one_line():
    with pytest.raises(
        ValueError, match=r"no evaluation of mujoco/hopper scored 100 to 112 within 200 steps; the best"
    ):
        datasets.make("mujoco/hopper/expert", **FIELDS | {"low": 100.0, "high": 112.0, "budget": 200})


@pytest.mark.parametrize(
    ("name", "fields", "line"),
    [
        ("medium", {"budget": 30_000}, "budget a multiple of every"), ("medium", {"low": 60.0}, "low at most high"),
        ("medium", {"quantile": 1.5}, "quantile must be 0 to 1, not 1.5"),
        ("medium", {"streams": 0}, "streams must be 1 to rows"),
        ("medium", {"env": "mujoco/ant"}, "unknown environment with D4RL's references 'mujoco/ant'"),
        ("medium-expert", {"quantile": -1.0}, "quantile must be"),
    ],
)  # fmt: skip
def test_bad_fields_are_one_line(name, fields, line):
    with pytest.raises(ValueError, match=line):
        datasets.recipe(f"mujoco/hopper/{name}", **fields)
