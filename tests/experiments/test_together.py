"""Several runs that are one program: what each keeps, what company may change, and what is refused."""

import json
import shutil
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.api import hyper, traced, with_arrays
from prospect_rl.experiments import Interrupted, Run, train, train_many
from prospect_rl.experiments.run import checkpoint
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.program import Program
from prospect_rl.experiments.run.reopen import shipped
from prospect_rl.experiments.run.together import groups, train_together
from tests import toy_agents, toy_envs
from tests.crashes import CrashError

BUDGET = {"budget": 21 * 45, "evals": 4, "eval_episodes": 2}
RATES = (0.01, 0.05, 0.2)
POINT = toy_envs.Point()


@dataclass(frozen=True, kw_only=True)
class Racer(toy_agents.Walker):
    """A walker whose fields may be arguments of its program."""

    rate: float = hyper(0.05, above=0, traced=True)
    fuse: float = hyper(0.0, least=0, traced=True)
    """The loss is NaN once this times the iterations is above 20."""

    def learn(self, state, data, key, phase=0):
        state, figures = super().learn(state, data, key, phase)
        burnt = self.fuse * state["count"].astype(jnp.float32) > 20
        return state, figures | {"learn/loss_step": jnp.where(burnt, jnp.nan, figures["learn/loss_step"])}


def race(out=None, rates=RATES, **options):
    given = {"fields": {"rate": rates}, "seeds": 3} | BUDGET | options
    return train_many(Racer(), toy_envs.Point(), given.pop("fields"), out=out, **given)


@pytest.fixture(scope="module")
def calm():
    """All variants in one go, without folders."""
    return race()


def close(one, other, tolerance=1e-4):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == (b[name] if isinstance(a[name], str) else pytest.approx(b[name], rel=tolerance, abs=1e-5))


# --- the same runs -----------------------------------------------------------------------------------


def test_a_variant_is_the_run_that_it_is_alone(calm, tmp_path):
    found = race(tmp_path)
    for rate, result, other in zip(RATES, found, calm, strict=True):
        alone = train(Racer(rate=rate), toy_envs.Point(), seed=3, **BUDGET)
        close(result.rows, alone.rows)
        assert result.rows == other.rows and result.agent.rate == rate and result.stopped is None
        np.testing.assert_allclose(result.state["weights"], alone.state["weights"], rtol=1e-4)
        folder = tmp_path / Run(Racer(rate=rate), toy_envs.Point(), (), (3,), 21 * 45, 4, 2).hash
        facts = json.loads((folder / "run.json").read_text())
        assert facts["hash"] == folder.name and facts["together"] == ["rate"]
        kept = Folder(folder).result
        assert kept["finished"] and kept["rows"] == result.rows[-1:] and kept["digest"] == result.digest
    assert len({result.digest for result in calm}) == 3


def test_company_changes_nothing_where_the_environment_is_small(calm):
    other = race(rates=(0.5, 0.05, 0.9, 0.01))
    assert other[1].rows == calm[1].rows and other[3].rows == calm[0].rows


def test_ppo_alone_and_in_company():
    agent = agents.make("ppo", num_envs=4, length=8, minibatches=2, hidden=(8,))
    some = {"learning_rate": [1e-3, 3e-3], "gamma": [0.9, 0.99], "entropy": [0.0, 0.01], "lam": [0.9, 0.8]}
    more = {name: [values[1], values[0], values[0] / 2] for name, values in some.items()}
    pair, three = (train_many(agent, "probe/discounting", x, budget=320, evals=2) for x in (some, more))
    for i in (0, 1):
        alone = train(
            agents.make("ppo", **{f.name: getattr(pair[i].agent, f.name) for f in fields(agent) if f.name != "spec"}),
            "probe/discounting", budget=320, evals=2,
        )  # fmt: skip
        close(pair[i].rows, alone.rows, 1e-3)
        close(pair[i].rows, three[1 - i].rows, 1e-5)


def test_seeds_alone_may_differ():
    found = race(rates=(0.05, 0.05), seeds=(3, 5))
    assert [result.rows[0]["seed"] for result in found] == [3, 5] and found[0].digest != found[1].digest


def test_runs_of_several_seeds_are_members_too(tmp_path):
    runs = [Run(Racer(rate=rate), POINT, (), (3, 5), 21 * 10, 2, 2) for rate in RATES[:2]]
    outs = [tmp_path / run.hash for run in runs]
    found = train_together(runs, outs, fields=["rate"])
    for run, result in zip(runs, found, strict=True):
        alone = train(run.agent, toy_envs.Point(), seeds=(3, 5), budget=21 * 10, evals=2, eval_episodes=2)
        close(result.rows, alone.rows)
        assert result.state["weights"].shape == (2, 2, 2)
    assert [r.digest for r in train_together(runs, outs, fields=["rate"])] == [r.digest for r in found]


@pytest.mark.parametrize("name", [name for name, cls in agents.AGENTS.items() if traced(cls())])
def test_every_traced_field_may_be_an_argument(name):
    cls = agents.AGENTS[name]
    env = envs.make({"ppo": "probe/discounting"}.get(name, cls.default_run.env if cls.default_run else "probe/target"))
    if (cls().misfit(env.spec)) is not None:
        env = envs.make("minigrid/DoorKey-5x5-v0")
    agent = cls().bind(env.spec)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    values = {f: jnp.float32(getattr(agent, f)) for f in traced(agent)}

    def init(values):
        return with_arrays(agent, values).init(jax.random.key(0))

    assert jax.tree.map(lambda x: x.shape, jax.eval_shape(init, values)) == jax.tree.map(lambda x: x.shape, state)


# --- going on ----------------------------------------------------------------------------------------


def killer(chunks):
    left = iter(range(chunks))

    def kill(now):
        if next(left, None) is None:
            raise CrashError

    return kill


def test_killed_and_started_again(calm, tmp_path, fine):
    for chunks in (3, 20):
        with pytest.raises(CrashError):
            race(tmp_path, progress=killer(chunks))
    behind = sorted(tmp_path.glob("*"))[1]  # as if the kill had come before its last checkpoint was written
    shutil.rmtree(checkpoint.steps(behind / "checkpoints")[-1])
    found = race(tmp_path)
    assert [r.rows for r in found] == [r.rows for r in calm] and [r.digest for r in found] == [r.digest for r in calm]


def test_finished_ones_are_never_run_again(calm, tmp_path, monkeypatch):
    race(tmp_path, rates=RATES[:2])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/re*")}
    found = race(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    close(found[2].rows, calm[2].rows)
    monkeypatch.setattr(Program, "advance", None)
    assert [result.digest for result in race(tmp_path)] == [result.digest for result in found]


def test_up_to_a_row_and_on(calm, tmp_path):
    runs = [Run(Racer(rate=rate), POINT, (), (3,), 21 * 45, 4, 2) for rate in RATES]
    outs = [tmp_path / str(i) for i in range(3)]
    part = train_together(runs, outs, fields=["rate"], rows=2)
    assert [len(result.rows) for result in part] == [2] * 3 and not list(tmp_path.glob("*/result.json"))
    rest = train_together(runs[1:], outs[1:], fields=["rate"])
    assert [result.rows for result in rest] == [result.rows for result in calm[1:]]
    alone = train(Racer(rate=RATES[0]), toy_envs.Point(), seed=3, out=outs[0], **BUDGET)
    close(alone.rows, calm[0].rows)
    assert any("one of several in a program" in text for text in alone.notices)
    shown = [shipped_of(out, run)["weights"] for out, run in zip(outs, runs, strict=True)]
    assert not np.array_equal(shown[0], shown[1])


def shipped_of(out, run):
    from types import SimpleNamespace

    found = SimpleNamespace(folder=out, run=run, seed=3)
    return shipped(found, run.agent.bind(toy_envs.Point().spec))


def test_groups_by_where_runs_stand(tmp_path):
    places = {"a": [10, 20], "b": [10], "c": [], "d": [50, 60], "e": [10, 20]}
    run = Run(Racer(), toy_envs.Point(), (), (3,), 21 * 45)
    for name, steps in places.items():
        for step in steps:
            (tmp_path / name / "checkpoints" / f"{step:012d}").mkdir(parents=True)
    (tmp_path / "e" / "result.json").write_text(json.dumps({"finished": True, "hash": run.hash}))
    found = groups([run] * 5, [tmp_path / name for name in places])
    assert found == [([2], None), ([0, 1], 10), ([3], 60), ([4], None)]


def test_a_signal_saves_all(calm, tmp_path, monkeypatch, fine):
    import os
    import signal

    told = []

    def stop(now):
        told.append(now["iteration"])
        if len(told) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as raised:
        race(tmp_path, progress=stop)
    assert len(raised.value.results) == 3 and all(result.interrupted for result in raised.value.results)
    assert [result.rows for result in race(tmp_path)] == [result.rows for result in calm]


def test_one_that_breaks_does_not_hold_up_the_others(calm, tmp_path):
    given = {"fields": {"rate": RATES, "fuse": (0.0, 1.0, 0.0)}}
    found = race(tmp_path, **given)
    close(found[0].rows, calm[0].rows)
    close(found[2].rows, calm[2].rows)
    assert found[1].stopped.startswith("learn/loss_step became NaN") and len(found[1].rows) == 1
    assert len(list(tmp_path.glob("*/result.json"))) == 2
    again = race(tmp_path, **given)
    assert again[1].stopped.startswith("learn/loss_step became NaN") and again[0].digest == found[0].digest


# --- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "given", "line"),
    [
        (Racer(), {"rate": (0.1, -1.0)}, "rate must be above 0, not -1.0"),
        (Racer(), {"rate": (0.1, float("nan"))}, "rate must be above 0, not nan"),
        (Racer(), {"poison": (1, 2)}, "unknown field of Racer in which runs of one program may differ"),
        (Racer(), {"rate": (0.1, 0.2), "fuse": (0.0,)}, "the same number of values, at least one, not 2 for rate, 1"),
        (Racer(), {}, "at least one, not no field"),
        (Racer(), {"rate": (0.1, 0.1)}, "two of the runs are the same"),
        (toy_agents.Walker(), {"rate": (0.1, 0.2)}, "Walker has no field in which runs of one program may differ"),
        ("serene", {"mutation": (0.1,)}, "Serene has no field in which runs of one program may differ"),
        ("mbpo", {"gamma": (0.9,)}, "MBPO has no field in which runs of one program may differ"),
    ],
)
def test_refusals_are_one_line(agent, given, line, monkeypatch):
    monkeypatch.setattr(Program, "__init__", None)
    with pytest.raises(ValueError) as raised:
        train_many(agent, toy_envs.Point(), given, **BUDGET)
    assert line in str(raised.value) and "\n" not in str(raised.value)


def test_what_else_differs_is_named():
    runs = [Run(Racer(), POINT, (), (3,), budget) for budget in (945, 966)]
    with pytest.raises(ValueError, match=r"differ in seeds and in rate alone, not in budget: 945 -> 966"):
        train_together(runs, fields=["rate"])
    with pytest.raises(ValueError, match="give one seed, or one for each of the 3 variants, not 2"):
        race(seeds=(1, 2))
