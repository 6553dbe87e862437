"""The bench harness: targets, files, and children on one core of their own."""

import json
import os
import re
import sys
import types
from collections import Counter
from importlib import import_module
from io import StringIO
from pathlib import Path

import jax
import pytest
from rich.console import Console

from prospect_rl.experiments import bench
from prospect_rl.experiments.bench import cde_update, gpu_env, gpu_ppo, maze_rollout, serene_500k, start_up
from prospect_rl.experiments.run.compiler import COMPILER


def quiet() -> Console:
    return Console(file=StringIO(), width=100)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A bench of three figures, one of them without a target."""
    module = types.ModuleType("fake_bench")
    module.TARGETS = {"speed": ("at least", 10.0), "seconds": ("at most", 2.0)}
    module.measure = lambda: {"speed": 10.0, "seconds": 1.5, "other": 7.0}
    monkeypatch.setitem(sys.modules, "fake_bench", module)
    monkeypatch.setattr(bench, "BENCHES", {"fake": "fake_bench"})
    monkeypatch.setattr(bench, "version_of", lambda name: "1.2.3")
    return module


def test_holds():
    assert bench.holds(4.5, "at least", 4.5) and not bench.holds(4.4, "at least", 4.5)
    assert bench.holds(6.0, "at most", 6.0) and not bench.holds(6.1, "at most", 6.0)
    assert not bench.holds(float("nan"), "at most", 1.0) and not bench.holds(float("nan"), "at least", 1.0)
    with pytest.raises(ValueError, match="about"):
        bench.holds(1.0, "about", 1.0)


def test_run_writes_flat_figures_and_shows_verdicts(fake: types.ModuleType, tmp_path: Path):
    console = quiet()
    assert bench.run("fake", out=tmp_path / "deep", console=console)
    written = json.loads((tmp_path / "deep" / "fake.json").read_text())
    assert (written["speed"], written["seconds"], written["other"]) == (10.0, 1.5, 7.0)
    assert written["machine"]["cores"] == len(os.sched_getaffinity(0)) and written["machine"]["cpu"]
    assert written["command"] == "make bench NAME=fake" and written["threads"] == 1
    assert written["versions"]["jax"] == "1.2.3"
    shown = console.file.getvalue()
    assert shown.count("met") == 2 and "missed" not in shown and "at least 10" in shown


def test_a_missed_target_is_told(fake: types.ModuleType, tmp_path: Path):
    fake.measure = lambda: {"speed": 9.9, "seconds": 1.5}
    console = quiet()
    assert not bench.run(out=tmp_path, console=console)
    assert "missed" in console.file.getvalue()


def test_one_that_cannot_be_measured_is_told_and_stops_no_other(fake: types.ModuleType, tmp_path: Path):
    def measure():
        raise ValueError("install the extra rivals")

    fake.measure = measure
    console = quiet()
    assert not bench.run(out=tmp_path, console=console)
    assert "fake: not measured: install the extra rivals" in console.file.getvalue() and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="install the extra"):
        bench.run("fake", out=tmp_path, console=console)


def test_a_page_is_written_where_there_are_figures(fake: types.ModuleType, tmp_path: Path):
    assert bench.page(tmp_path / "none") == [] and not (tmp_path / "none").exists()
    bench.run("fake", out=tmp_path, console=quiet())
    assert bench.page(tmp_path) == [tmp_path / "README.md"]


def test_an_unknown_bench_is_named():
    with pytest.raises(ValueError, match="unknown bench 'maze_rolout'; did you mean 'maze_rollout'"):
        bench.run("maze_rolout")


def test_a_child_has_one_core_and_one_thread():
    assert len(bench.start(os.sched_getaffinity, 0).result()) == 1
    assert bench.start(os.getenv, "NPROC").result() == "1"
    if len(cores := os.sched_getaffinity(0)) > 1:
        both = [bench.start(os.sched_getaffinity, 0, core=core) for core in (0, 1)]
        assert both[0].result().isdisjoint(both[1].result()) and both[0].result() < cores


def test_a_failing_child_raises_here():
    with pytest.raises(ValueError, match="invalid literal"):
        bench.start(int, "x").result()


@pytest.mark.slow
def test_maze_rollout_counts_steps():
    steps, compiling = bench.start(maze_rollout.rollout, 12, 0.5).result()
    assert 1e4 < steps < 1e9 and compiling > 0


@pytest.mark.slow
def test_gpu_td3_runs_small_and_names_its_device(capsys: pytest.CaptureFixture):
    module = import_module(bench.BENCHES["gpu_td3"])
    figures = module.measure(small=True)
    assert set(module.TARGETS) <= set(figures) and figures["steps_per_s"] == 2 * figures["rounds_per_s"]
    assert 1 < figures["rounds_per_s"] < 1e5 and 1 < figures["rounds_per_s_without_updates"] < 1e5
    assert jax.devices()[0].device_kind in capsys.readouterr().out


@pytest.mark.slow
def test_serene_500k_gives_its_figures():
    figures = serene_500k.measure(budget=1000)
    assert set(serene_500k.TARGETS) <= set(figures)
    assert 0 < figures["minutes_compute"] < figures["minutes"] < 10 and 0.05 < figures["peak_gb"] < 8


@pytest.mark.slow
def test_the_products_of_cde_update_are_those_of_an_update():
    """The same matrix products in the compiled programs, one by one."""
    shape = r"(%[\w.-]+) = \w+\[([\d,]*)\]"

    def products(f, *args) -> Counter:
        text = jax.jit(f).lower(*args).compile(compiler_options=COMPILER).as_text()
        shapes = {found[1]: found[2] for found in re.finditer(shape, text)}
        dots = re.finditer(shape + r"\S* dot\((%[\w.-]+), (%[\w.-]+)\).*lhs_contracting_dims=\{(\d+)\}", text)
        return Counter((dot[2], shapes[dot[3]], shapes[dot[4]], dot[5]) for dot in dots)

    agent, key = cde_update.agent_of(), jax.random.key(0)
    weights, again = cde_update.alone(agent)
    whole = products(agent.update, agent.begin(key), cde_update.rows(agent, key), key)
    assert products(again, weights) == whole and whole.total() > 40


@pytest.mark.slow
def test_start_up_is_faster_with_a_filled_cache(tmp_path: Path):
    cold, warm = (start_up.first_row(str(tmp_path)) for _ in range(2))
    assert warm < cold < start_up.PATIENCE


def test_start_up_tells_why_there_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(start_up, "COMMAND", ("run", "serine", "maze/hard"))
    with pytest.raises(RuntimeError, match="serine"):
        start_up.first_row(str(tmp_path))


@pytest.fixture
def accelerated(fake: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The bench of three figures as one of an accelerator."""
    fake.measure = lambda small: {"speed": 1.0 if small else 20.0, "seconds": 1.5}
    monkeypatch.setattr(bench, "BENCHES", {"gpu_fake": "fake_bench"})
    return fake


def test_a_bench_of_an_accelerator_gives_no_verdict_without_one(accelerated: types.ModuleType, tmp_path: Path):
    console = quiet()
    assert bench.run(out=tmp_path, console=console), "nothing is missed"
    assert "no verdict" in console.file.getvalue() and "at least" not in console.file.getvalue()
    assert not list(tmp_path.iterdir())


def test_a_bench_of_an_accelerator_says_which(
    accelerated: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bench, "start", lambda work: types.SimpleNamespace(result=lambda: "NVIDIA H200"))
    assert bench.run("gpu_fake", out=tmp_path, console=quiet())
    written = json.loads((tmp_path / "gpu" / "gpu_fake.json").read_text())
    assert written["machine"]["device"] == "NVIDIA H200" and written["speed"] == 20.0
    assert bench.page(tmp_path) and "NVIDIA H200" in (tmp_path / "README.md").read_text()
    accelerated.measure = lambda small: {"speed": 9.9, "seconds": 1.5}
    assert not bench.run("gpu_fake", out=tmp_path, console=quiet())


def test_a_curve_is_kept_up_to_its_end():
    found = gpu_ppo.curves([{1: 0.5, 2: 0.96}, {1: 0.1, 2: 0.2, 3: 0.4}], 8)
    assert found == {
        "solved_8": 1.0, "steps_8_seed_0": 2.0, "steps_8_seed_1": float("inf"),
        "unseen_8_at_1": 0.3, "unseen_8_at_2": pytest.approx(0.58), "unseen_8_at_3": pytest.approx(0.68),
    }  # fmt: skip


def test_each_rule_of_minigrid_has_an_id_in_gpu_env():
    assert gpu_env.MULTI_ROOM in gpu_env.largest() and len(gpu_env.largest()) == 9


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in bench.BENCHES if name.startswith(bench.ACCELERATOR)])
def test_a_bench_of_an_accelerator_runs_small(name: str):
    module = import_module(bench.BENCHES[name])
    figures = module.measure(small=True)
    assert figures and all(isinstance(x, float) and x >= 0 for x in figures.values())
