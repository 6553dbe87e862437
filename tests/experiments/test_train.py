"""The driver: marks, rows, chunks, evaluation, what is refused before anything is compiled."""

import json
import math
import re
import shutil
import warnings
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.api import Batches, Nothing, Rollouts, Segments, hyper
from prospect_rl.experiments import Run, train
from prospect_rl.experiments.run import driver, member
from prospect_rl.experiments.run import train as door
from prospect_rl.experiments.run.folder import Folder
from prospect_rl.experiments.run.machine import runs_root
from prospect_rl.experiments.run.program import Program
from tests import toy_agents, toy_data, toy_envs, toy_runs


@pytest.fixture(scope="module")
def calm():
    """Each case trained in one go, without a folder."""
    known = {}

    def result(case):
        known[case] = known.get(case) or toy_runs.run(case, None)
        return known[case]

    return result


# --- marks and rows ----------------------------------------------------------------------------------


def test_a_row_stands_at_the_first_iteration_that_reaches_its_mark(calm):
    # Segments of 3 x 7 = 21 steps; marks at 945 x (1/4, 2/4, 3/4, 1).
    rows = calm("segments").rows
    assert [row["mark"] for row in rows] == [237, 473, 709, 945]
    assert [row["used"] for row in rows] == [252, 483, 714, 945]
    assert [row["iteration"] for row in rows] == [12, 23, 34, 45]
    assert {row["unit"] for row in rows} == {"steps"}


def test_evaluations_count_active_members_alone(calm):
    # Two generations of 8 and one of 3 active members: 19 evaluations in 3 iterations; 21 rounds are 399.
    result = calm("rollouts")
    last = result.rows[-1]
    assert (last["used"], last["iteration"], last["unit"]) == (407, 64, "evaluations")
    assert (last["ledger/phase_0"], last["ledger/phase_1"]) == (43 * 8, 21 * 3)
    assert int(result.ledger.visited.sum()) == 407 and int(result.ledger.explored.sum()) == 43 * 8
    assert last["ledger/best_0"] >= last["ledger/stored_best_0"] > 0
    assert last["ledger/first_0"] <= last["ledger/stored_first_0"] < last["ledger/first_0"] + 8
    assert not math.isnan(last["learn/climb"]), "the last figures of the other phase stay"


def test_collected_episodes_are_those_since_the_last_row(calm):
    rows = calm("segments").rows
    count = sum(row["collect/episodes"] for row in rows)
    steps = sum(row["collect/episodes"] * row["collect/length"] for row in rows)
    assert 0 <= 945 - steps <= 3 * 10, "only the running episodes are missing"
    assert count == round(count) and all(0 <= row["collect/return"] <= 1 for row in rows)
    assert {"learn/pair_0", "learn/pair_1", "eval/return", "eval/length", "eval/success"} <= set(rows[0])


def test_updates_are_the_unit_of_batches(calm):
    result = calm("batches")
    assert [row["used"] for row in result.rows] == [50, 100, 150, 200]
    last = result.rows[-1]
    assert last["unit"] == "updates" and (last["data/rows"], last["data/episodes"], last["data/paid"]) == (40, 4, 0)
    np.testing.assert_allclose(result.state, -np.eye(2), atol=1e-3)  # the dataset's actions are -obs


def test_several_seeds_give_a_row_each(calm):
    result = calm("segments-seeds")
    assert [row["seed"] for row in result.rows] == [3, 5] * 4
    assert result.state["weights"].shape == result.behaviour["weights"].shape == (2, 2, 2)
    assert not np.array_equal(result.state["weights"][0], result.state["weights"][1])
    alone = calm("segments").state["weights"]
    np.testing.assert_allclose(result.state["weights"][0], alone, rtol=1e-4, err_msg="company may cost last bits only")


def test_two_seeds_differ(calm):
    other = toy_runs.run("batches", None, seeds=(4,))
    assert other.digest != calm("batches").digest == toy_runs.run("batches", None).digest


# --- what must not matter ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["rollouts", "segments-seeds"])
def test_chunks_do_not_matter(calm, case, monkeypatch):
    monkeypatch.setattr(driver, "GROWTH", 1)
    sizes = []
    small = toy_runs.run(case, None, progress=lambda told: sizes.append(told["iteration"]))
    assert sizes == list(range(1, calm(case).rows[-1]["iteration"] + 1)), "one iteration a chunk"
    assert small.digest == calm(case).digest and small.rows == calm(case).rows


@pytest.mark.parametrize("case", ["rollouts", "segments"])
def test_evaluation_does_not_perturb_training(calm, case):
    once = toy_runs.run(case, None, evals=1, eval_episodes=5)
    assert once.digest == calm(case).digest


def test_banks_and_seeds_are_arguments_of_the_program():
    class Plain:
        """Any object with spec, reset and step is an environment."""

        point = toy_envs.Point()
        spec, reset, step = point.spec, staticmethod(point.reset), staticmethod(point.step)

    a = toy_runs.run("segments", None, budget=42, evals=1)
    b = train(toy_agents.Walker(), Plain(), seed=3, budget=42, evals=1, eval_episodes=2)
    assert a.digest == b.digest
    agent = toy_agents.Walker().bind(toy_envs.Point().spec)
    program = Program(agent, toy_envs.Point(drift=jnp.full(2, 0.125)), (7,), eval_episodes=1, dataset=None)
    assert program.banks[0].tolist() == [0.125, 0.125]
    run = program.init()
    text = program._advance.lower(run, program.seeds, program.world, 1, 1, phase=0).as_text()
    assert "1.250000e-01" not in text and "0.125" not in text
    moved = train(toy_agents.Walker(), toy_envs.Point(drift=jnp.full(2, 0.125)), seed=3, budget=42, evals=1)
    assert moved.digest != a.digest


# --- the folder --------------------------------------------------------------------------------------


def test_a_finished_run_is_returned_and_never_trained_again(calm, tmp_path, monkeypatch):
    run = Run(toy_agents.Walker(), toy_envs.Point(), (), (3,), 21 * 45, 4, 2, name="a label")
    assert Folder(tmp_path).result is None
    first = toy_runs.run("segments", tmp_path)
    assert first.digest == calm("segments").digest and first.rows == calm("segments").rows
    result = Folder(tmp_path).result
    assert result["finished"] and result["hash"] == run.hash
    monkeypatch.setattr(Program, "advance", None)
    again = toy_runs.run("segments", tmp_path)
    assert again.digest == first.digest and again.rows == first.rows
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"run.json", "metrics.jsonl", "timing.jsonl", "checkpoints", "report.npz", "result.json"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["digest"] == first.digest and result["rows"] == first.rows[-1:]
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["threads"] == 1 and facts["versions"]["jax"] == jax.__version__ and facts["data"]["bank"]
    for path in (tmp_path / "checkpoints").iterdir():
        shutil.rmtree(path)
    with pytest.raises(ValueError, match="finished run whose checkpoints are missing"):
        toy_runs.run("segments", tmp_path)


def test_the_report_holds_the_agents_arrays_and_the_ledgers(tmp_path):
    result = toy_runs.run("rollouts", tmp_path, budget=40, evals=1)
    with np.load(tmp_path / "report.npz", allow_pickle=False) as report:
        assert np.array_equal(report["genomes"], result.state["genomes"])
        assert np.array_equal(report["ledger/explored"], result.ledger.explored)
        assert report["ledger/stored/first"].shape == (1,)


def test_another_configuration_is_refused_with_every_difference(tmp_path):
    toy_runs.run("batches", tmp_path)
    with pytest.raises(ValueError) as error:
        toy_runs.run("batches", tmp_path, budget=800, eval_episodes=3)
    assert str(error.value).endswith("another configuration: budget: 200 -> 800, eval_episodes: 2 -> 3")
    with pytest.raises(ValueError, match=r"agent\.rate: 0\.1 -> 0\.2"):
        train(toy_agents.Cloner(rate=0.2), toy_envs.Point(), seed=3, budget=200, evals=4, eval_episodes=2,
              out=tmp_path, dataset=toy_data.dataset())  # fmt: skip
    with pytest.raises(ValueError, match=r"data\.bank: \w+ -> \w+"):
        train(toy_agents.Cloner(), toy_envs.Point(drift=jnp.ones(2)), seed=3, budget=200, evals=4, eval_episodes=2,
              out=tmp_path, dataset=toy_data.dataset())  # fmt: skip


def test_the_hash_is_of_values():
    run = Run(toy_agents.Walker(rate=1.0), "maze/hard", (("b", 1), ("a", 2.0)), (0,), 100)
    same = Run(toy_agents.Walker(rate=1), "maze/hard", (("a", 2), ("b", 1)), (0,), 100, name="other label")
    assert run.hash == same.hash and len(run.hash) == 16
    assert run.hash != replace(run, budget=101).hash != replace(run, seeds=(1,)).hash
    assert run.config()["agent"] == {"name": "Walker", "rate": 1, "poison": -1}
    assert json.loads(json.dumps(run.config())) == run.config()


def test_where_runs_live(monkeypatch):
    monkeypatch.delenv("PROSPECT_RUNS", raising=False)
    assert str(runs_root()) == "results/runs"
    monkeypatch.setenv("PROSPECT_RUNS", "/elsewhere")
    assert str(runs_root()) == "/elsewhere"


# --- what goes wrong ---------------------------------------------------------------------------------


def test_a_loss_that_is_nan_stops_the_run_and_says_so_again(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="learn/loss_step became NaN at iteration 31: the run has stopped"):
            train(toy_agents.Walker(poison=30), toy_envs.Point(), budget=21 * 90, evals=2, out=tmp_path)
    assert (tmp_path / "checkpoints" / "000000000031").is_dir()
    assert (tmp_path / "metrics.jsonl").read_text() == "", "no mark was reached"


def test_a_policy_that_earns_nan_never_pays():
    result = train(toy_agents.Evolver(), toy_envs.Point(broken=0.3), seed=3, budget=200, evals=1)
    assert result.ledger.paid.tolist() == [0] and result.ledger.best[0] == -jnp.inf
    assert result.rows[-1]["ledger/best_0"] is None, "null in JSON"
    assert np.all(~np.isnan(result.state["fitness"]))


def test_an_agent_that_evaluates_nothing_is_stopped(monkeypatch):
    class Idle(toy_agents.Evolver):
        def explore(self, state, key, phase=0):
            behaviour, active = super().explore(state, key, phase)
            return behaviour, active & False

    monkeypatch.setattr(driver, "IDLE", 20)
    with pytest.raises(ValueError, match="nothing was evaluated in the last 20 iterations"):
        train(Idle(), toy_envs.Point(), budget=100, evals=1)


def test_a_phase_that_wants_nothing_costs_nothing():
    told = []
    result = train(toy_agents.Trainer(), toy_envs.Point(), budget=200, evals=2, progress=told.append)
    ledger = result.ledger.per_phase.tolist()
    assert ledger[2] == 0 and sum(ledger) == result.rows[-1]["used"] >= 200
    assert told[-1]["iteration"] == result.rows[-1]["iteration"] > 200 / 8 + 5, "iterations without experience count"
    assert "learn/left" in result.rows[-1]


def test_nothing_is_no_first_want():
    class Empty(toy_agents.Evolver):
        wants = (Nothing(), Rollouts(8))

    with pytest.raises(ValueError, match="Empty wants nothing in its first phase"):
        train(Empty(), toy_envs.Point(), budget=100, evals=1)


class Mixed(toy_agents.Evolver):
    wants = (Rollouts(8), Batches(4, 1))


class Widths(toy_agents.Walker):
    wants = (Segments(3, 7), Segments(4, 7))


class Misfit(toy_agents.Walker):
    def misfit(self, spec):
        return "it needs a cat"


@dataclass(frozen=True, kw_only=True)
class Drifting(toy_agents.Walker):
    def learn(self, state, data, key, phase=0):
        state, metrics = super().learn(state, data, key, phase)
        return state | {"cursor": state["cursor"] * 1.0}, metrics


BAD = {
    "budget 20 is less than one iteration of Walker, which takes 21": (toy_agents.Walker(), {"budget": 20}),
    "budget 7 is less than one iteration of Evolver, which takes 8": (toy_agents.Evolver(), {"budget": 7}),
    "evals must be at least 1, not 0": (toy_agents.Walker(), {"evals": 0}),
    "eval_episodes must be at least 1": (toy_agents.Walker(), {"eval_episodes": 0}),
    "must lie between evals": (toy_agents.Walker(), {"evals": 10**6}),
    "seeds must be at least 1, not 0": (toy_agents.Walker(), {"seeds": ()}),
    "seeds must differ": (toy_agents.Walker(), {"seeds": (1, 1)}),
    "seeds must lie between": (toy_agents.Walker(), {"seed": -1}),
    "Evolver trains one seed per run, not 2": (toy_agents.Evolver(), {"seeds": (1, 2)}),
    "Misfit does not fit test/point: it needs a cat": (Misfit(), {}),
    "unknown environment 'maze/hrd'; did you mean 'maze/hard'": (toy_agents.Walker(), {"env": "maze/hrd"}),
    "Cloner learns from a dataset, but none is given": (toy_agents.Cloner(), {}),
    "takes no dataset": (toy_agents.Walker(), {"dataset": toy_data.dataset}),
    "several kinds": (Mixed(), {}),
    "different numbers of streams": (Widths(), {}),
}


@pytest.mark.parametrize("message", BAD)
def test_refused_in_one_line_before_anything_is_compiled(message, monkeypatch):
    agent, options = BAD[message]
    monkeypatch.setattr(Program, "init", None)
    options = {"env": toy_envs.Point(), "budget": 1000, **options}
    if "dataset" in options:
        options["dataset"] = options["dataset"]()
    with pytest.raises(ValueError) as error:
        train(agent, options.pop("env"), **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_sixty_four_bits_are_refused_in_one_line():
    with jax.enable_x64(True), pytest.raises(ValueError, match="unset JAX_ENABLE_X64"):
        toy_runs.run("rollouts", None)


def test_what_is_not_finite_is_counted_and_told_once(monkeypatch):
    """However the iterations fall into chunks; an agent's own notices are told once too."""
    monkeypatch.setattr(toy_agents.Evolver, "notices", lambda self, row: ["it evolves"])
    options = {"budget": 80, "evals": 4, "seeds": (3,)}
    result = train(toy_agents.Evolver(), toy_envs.Point(broken=-0.5), **options)
    counted = [row["collect/invalid"] for row in result.rows]
    assert counted == sorted(counted) and 0 < counted[0] < counted[-1] < 80
    assert result.notices == ["it evolves", member.NOT_FINITE]
    monkeypatch.setattr(driver, "GROWTH", 1)
    again = train(toy_agents.Evolver(), toy_envs.Point(broken=-0.5), **options)
    assert [row["collect/invalid"] for row in again.rows] == counted


def test_notices_are_told_where_no_chunk_comes_after_them(tmp_path, monkeypatch):
    heard = []
    hear = {"progress": lambda now: heard.extend(now["notices"])}
    toy_runs.run("batches", tmp_path)
    monkeypatch.setattr(Folder, "open", lambda *_: ["the bits may differ"])
    toy_runs.run("batches", tmp_path, **hear)  # finished before
    assert heard == ["the bits may differ"]
    monkeypatch.setattr(driver.Driver, "_chunk", lambda self, state, phase: (state, (1, 0, 0, 0, 1)))
    with pytest.raises(ValueError, match="has stopped"):
        toy_runs.run("batches", tmp_path / "broken", **hear)
    assert heard == ["the bits may differ"] * 2


def test_a_later_field_leaves_the_identity_of_what_was_published():
    @dataclass(frozen=True, kw_only=True)
    class Grown(toy_agents.Walker):
        clip: float = hyper(10.0, above=0, later=True)

    runs = [Run(Grown(**fields), "point/sparse") for fields in ({}, {"clip": 10.0}, {"clip": 5.0})]
    assert "clip" not in runs[0].config()["agent"] and runs[0].hash == runs[1].hash != runs[2].hash
    assert runs[2].config()["agent"]["clip"] == 5.0


def test_a_state_that_changes_its_type_is_refused_by_name():
    with pytest.raises(ValueError, match=r"Drifting\.learn \(phase 0\) changes \['cursor'\] from int32\[\] to float32"):
        train(Drifting(), toy_envs.Point(), budget=100)


# --- what train takes --------------------------------------------------------------------------------


def test_an_agent_may_be_a_class_or_a_name():
    made = {type(door.agent_of(given)) for given in ("serene", agents.Serene, agents.Serene())}
    assert made == {agents.Serene}


@pytest.mark.filterwarnings("default")
def test_warnings_of_an_environment_are_notices(monkeypatch):
    made = Run.make_env

    def warns(self, **others):
        warnings.warn("it is slow", stacklevel=2)
        return made(self, **others)

    monkeypatch.setattr(Run, "make_env", warns)
    monkeypatch.setattr(driver.Driver, "go", lambda self, *_: [self.members[0].notices])  # nothing is trained
    run, progress = Run(toy_agents.Evolver(), toy_envs.Point(), budget=20), lambda now: None
    with pytest.warns(UserWarning, match="it is slow") as warned:
        assert driver.train_run(run) == ["it is slow"]
    assert len(warned) == 1
    with warnings.catch_warnings(record=True) as warned:
        assert driver.train_run(run, progress=progress) == ["it is slow"]
    assert not warned


HOST = "'Pendulum-v1' is a Gymnasium environment"


def gymnasiums():
    import gymnasium

    return gymnasium.make("Pendulum-v1")


@pytest.mark.parametrize(
    ("agent", "env", "line"),
    [
        ("sereen", "maze/hard", "unknown agent 'sereen'; did you mean 'serene'?"),
        (3, "maze/hard", "the first argument must be an agent, its class or its registered name, not 3"),
        (toy_envs.Point, "maze/hard", "the first argument must be an agent, its class or its registered name"),
        (agents.Serene, "maze/hrd", "unknown environment 'maze/hrd'; did you mean 'maze/hard'?"),
        (agents.TD3, "Pendulum-v1", f"{HOST}: pass envs.from_gymnasium('Pendulum-v1', num_envs=1)"),
        (agents.PPO, gymnasiums, f"{HOST}: pass envs.from_gymnasium('Pendulum-v1', num_envs=32)"),
        (
            agents.Serene,
            gymnasiums,
            f"{HOST}; only agents that want Segments can train in it, and Serene wants Rollouts",
        ),
        (agents.Serene, toy_envs.Point, "train takes an environment, not its class: pass Point()"),
        (agents.Serene, 3, "train takes a registered environment id or an environment with a spec, not 3"),
    ],
)
def test_what_train_cannot_take_is_one_line_that_says_what_to_give(agent, env, line):
    with pytest.raises(ValueError, match=re.escape(line)) as error:
        train(agent, env() if env is gymnasiums else env, budget=100)
    assert "\n" not in str(error.value)


def test_a_gymnasium_environment_without_a_name_is_called_by_its_class():
    given = gymnasiums().unwrapped
    given.spec = None
    said = "PendulumEnv is a Gymnasium environment: pass envs.from_gymnasium(make, num_envs=1), where make is a"
    with pytest.raises(ValueError, match=re.escape(said)):
        train(agents.TD3, given, budget=100)


def test_what_to_give_instead_of_a_gymnasium_environment_works():
    with pytest.raises(ValueError) as error:
        train(agents.TD3, "Pendulum-v1", budget=100)
    env = eval(str(error.value).partition("pass ")[2], {"envs": envs})
    assert door.env_of(env, agents.TD3()) is env and agents.TD3().misfit(env.spec) is None


def test_our_environments_for_gymnasium_are_known_by_their_own_names():
    assert door._gymnasium_advice("prospect/MazeHard-v0", "", agents.Serene()).endswith("pass 'maze/hard'")


def test_a_dataset_may_be_a_name():
    with pytest.raises(ValueError, match="did you mean 'maze2d/umaze/waypoints'"):
        train("bc", "maze2d/umaze", budget=100, dataset="maze2d/umaz/waypoints")


def test_a_class_trains_with_a_bar_and_several_episodes_an_evaluation(tmp_path, capsys):
    words = {"budget": 20, "evals": 1, "out": tmp_path}
    train(toy_agents.Evolver, toy_envs.Point(), progress=True, **words)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("test/point Evolver seed 0: 20/20 evaluations, return ")
    assert json.loads((tmp_path / "run.json").read_text())["config"]["eval_episodes"] == 5
    train(toy_agents.Evolver(), toy_envs.Point(), progress=False, **words)  # the same run
    assert capsys.readouterr() == ("", "")
