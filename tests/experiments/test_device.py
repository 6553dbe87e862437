"""Devices: what is missing in words, what a process is told, which runs are faster on a GPU, and a run's identity."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from prospect_rl import agents, envs
from prospect_rl.experiments import Run, train, train_run
from prospect_rl.experiments.cli import doctor, main
from prospect_rl.experiments.run import choice, compiler, device, durable
from prospect_rl.experiments.run.device import Facts
from prospect_rl.experiments.sweeps.job import on, plan, resolve
from prospect_rl.experiments.sweeps.sweep import sweep
from prospect_rl.experiments.sweeps.workers import worker_environment
from tests import toy_agents, toy_envs
from tests.experiments.test_sweep import Fake, job

ROOT = Path(__file__).parents[2]
WHOLE = Facts(1, True, "580.65.06", ("NVIDIA H200",), ("jax-cuda12-plugin", "0.10.2"), "0.10.2")
NOTHING = Facts(jaxlib="0.10.2")


# --- what is missing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (WHOLE, None),
        (replace(WHOLE, driver=None, models=(), card=False), None),  # a container that shows the device alone
        (replace(WHOLE, visible="0"), None),
        (NOTHING, "this machine has no NVIDIA GPU"),
        (replace(NOTHING, plugin=WHOLE.plugin), "this machine has no NVIDIA GPU"),
        (replace(NOTHING, card=True), "there is an NVIDIA GPU, but no driver that shows it"),
        (replace(WHOLE, visible=""), "CUDA_VISIBLE_DEVICES= hides every GPU"),
        (replace(WHOLE, visible="-1"), "CUDA_VISIBLE_DEVICES=-1 hides every GPU"),
        (replace(WHOLE, plugin=None), 'jax is installed without CUDA: pip install "prospect-rl[cuda]"'),
        (replace(WHOLE, jaxlib="0.11.0"), "jax-cuda12-plugin 0.10.2 does not fit jaxlib 0.11.0"),
        (replace(WHOLE, driver="470.82.01"), "the driver 470.82.01 is too old for jax-cuda12-plugin, which needs 525"),
        (
            replace(WHOLE, driver="570.1", plugin=("jax-cuda13-plugin", "0.10.2")),
            "the driver 570.1 is too old for jax-cuda13-plugin, which needs 580 or newer",
        ),
    ],
)
def test_what_is_missing_is_said_in_words(facts, words):
    found = device.missing(facts)
    assert found is None if words is None else words in found and "\n" not in found


def test_this_machine_can_be_looked_at():
    facts = device.probe()
    assert facts.jaxlib and device.count() <= facts.nodes


def test_the_doctor_names_gpu_driver_and_memory():
    words = doctor.gpu_words(WHOLE, 100 * 2**30)
    assert words == "1 x NVIDIA H200, driver 580.65.06, jax-cuda12-plugin 0.10.2, 100 GiB for a run"
    assert "jax without CUDA" in doctor.gpu_words(replace(WHOLE, plugin=None), None)
    assert doctor.gpu_words(NOTHING, None) == "none"


def test_the_doctor_warns_of_what_cannot_be_used_and_of_nothing_else():
    assert doctor.gpu_warning(WHOLE) is None and doctor.gpu_warning(NOTHING) is None
    assert "without CUDA" in doctor.gpu_warning(replace(WHOLE, plugin=None))
    assert "no driver" in doctor.gpu_warning(replace(NOTHING, card=True))
    plugin = doctor.gpu_warning(replace(NOTHING, plugin=WHOLE.plugin))
    assert plugin == "jax-cuda12-plugin is installed, but this machine has no NVIDIA GPU"


# --- what a process is told --------------------------------------------------------------------------


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU that can be used, and no variables of the user."""
    for name in ("JAX_PLATFORMS", "XLA_FLAGS", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "probe", lambda: WHOLE)


def test_what_is_asked_for(gpu, monkeypatch):
    assert [device.asked(given) for given in device.CHOICES] == ["auto", "cpu", "gpu"]
    for platforms, kind in (("cuda", "gpu"), ("cuda,cpu", "gpu"), ("rocm", "gpu"), ("cpu", "cpu"), ("tpu", "tpu")):
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
        assert device.asked() == kind
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert device.asked("cpu") == "cpu"
    with pytest.raises(ValueError, match=r"^--device gpu contradicts JAX_PLATFORMS=cpu: leave one of them out$"):
        device.asked("gpu")


def test_a_gpu_that_cannot_be_used_is_one_line(monkeypatch, capsys):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(device, "probe", lambda: replace(WHOLE, plugin=None))
    with pytest.raises(ValueError, match="no GPU can be used: there is a GPU, but jax is installed without CUDA"):
        device.asked("gpu")
    assert device.asked("gpu", elsewhere=True) == "gpu"  # on a cluster
    for words in ("run ppo probe/bandit", "sweep serene_maze", "search mex_eta", "defaults ppo"):
        assert main.main([*words.split(), "--device", "gpu"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("prospect: no GPU can be used: ") and err.count("\n") == 1, words


def test_flags_go_after_the_users_and_never_instead(gpu, monkeypatch):
    flags = device.environment("gpu")["XLA_FLAGS"].split()
    assert flags[0] == "--xla_gpu_exclude_nondeterministic_ops=true" and len(flags) == len(compiler.GPU)
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=4 --xla_dump_to=/tmp/x")
    mine = device.environment("gpu")["XLA_FLAGS"].split()
    assert mine[:2] == ["--xla_gpu_autotune_level=4", "--xla_dump_to=/tmp/x"]
    assert len(mine) == len(compiler.GPU) + 1 and "xla_gpu_autotune_level" not in compiler.options("advance", "gpu")


def test_programs_have_all_options_where_a_process_was_told_its_flags(gpu, monkeypatch):
    """Also if JAX had started before, so that it never read them."""
    monkeypatch.setenv("XLA_FLAGS", device.environment("gpu")["XLA_FLAGS"])
    assert compiler.options("advance", "gpu") == compiler.GPU
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_exclude_nondeterministic_ops=false")
    monkeypatch.setenv("XLA_FLAGS", device.environment("gpu")["XLA_FLAGS"])
    assert set(compiler.GPU) - set(compiler.options("init", "gpu")) == {"xla_gpu_exclude_nondeterministic_ops"}


def test_workers_have_a_device_and_a_share_of_its_memory(gpu, monkeypatch):
    assert worker_environment()["JAX_PLATFORMS"] == "cpu" and "XLA_FLAGS" not in worker_environment()
    mine = worker_environment("gpu", 0.25)
    assert (mine["JAX_PLATFORMS"], mine["XLA_PYTHON_CLIENT_MEM_FRACTION"], mine["NPROC"]) == ("cuda,cpu", "0.225", "1")
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in worker_environment("gpu")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", ".5")
    assert worker_environment("gpu", 0.25)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == ".5"
    shares = {(1, 1): 1.0, (2, 1): 0.5, (4, 1): 0.25, (16, 1): 0.25, (4, 8): 1.0, (None, 1): 0.25}
    assert {case: device.share_of(*case) for case in shares} == shares


def test_the_compiler_knows_every_option():
    x = jnp.ones((2, 2))
    for kind in compiler.OPTIONS:
        for program in ("init", "advance", "evaluate", "behaviour"):
            told = compiler.options(program, kind)
            jax.jit(lambda x: x @ x).lower(x).compile(compiler_options=told)
    assert compiler.options("evaluate", "cpu") is None and compiler.options("init", "gpu") == compiler.GPU
    assert compiler.options("advance") == compiler.COMPILER


# --- what pays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "fields", "env", "seeds", "kind"),
    [
        ("ppo", {}, "minigrid/DoorKey-8x8-v0", 1, "cpu"),
        ("ppo", {"num_envs": 2048}, "minigrid/DoorKey-8x8-v0", 1, "gpu"),
        ("noveld", {"num_envs": 256}, "minigrid/DoorKey-8x8-v0", 1, "gpu"),
        ("ppo", {"num_envs": 2048}, "mujoco/hopper", 1, "cpu"),
        ("td3", {}, "mujoco/half_cheetah", 1, "cpu"),
        ("serene", {}, "maze/hard", 1, "cpu"),
        ("novelty_search", {}, "maze/hard", 1, "cpu"),
        ("novelty_search", {"population": 5000}, "maze/hard", 1, "gpu"),
        ("serene", {"population": 5000}, "maze/hard", 1, "cpu"),  # its emitters are as small as ever
        ("td3_bc", {}, "maze2d/umaze", 1, "cpu"),
        ("td3_bc", {}, "maze2d/umaze", 5, "gpu"),
        ("elmur", {}, "memory/tmaze", 1, "gpu"),
    ],
)
def test_auto_is_what_is_faster(agent, fields, env, seeds, kind):
    made = agents.make(agent, **fields)
    assert choice.best(made, env, seeds) == kind
    assert choice.chosen("auto", made, env, seeds, gpus=0) == "cpu"
    assert choice.chosen("gpu", made, env, seeds, gpus=0) == "gpu"


def test_every_native_environment_is_known():
    native = [id for id, where in envs.ENVS.items() if where.split(":")[0].rpartition(".")[2] in (
        "locomotion", "ant", "ant_maze", "reacher", "variants", "swing", "maze", "remember_color", "take_it_back"
    )]  # fmt: skip
    assert native and all(id.startswith(choice.NATIVE) for id in native)
    assert not [id for id in envs.ENVS if id.startswith(choice.NATIVE) and id not in native]


def test_train_takes_a_device(monkeypatch):
    given = {"budget": 64, "evals": 1}
    result = train(toy_agents.Walker(), toy_envs.Point(), device="cpu", **given)
    assert result.rows
    with pytest.raises(ValueError, match="device must be one of auto, cpu, gpu, not 'cuda'"):
        train(toy_agents.Walker(), toy_envs.Point(), device="cuda", **given)
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(device, "probe", lambda: NOTHING)
    with pytest.raises(ValueError, match="no GPU can be used: this machine has no NVIDIA GPU"):
        train(toy_agents.Walker(), toy_envs.Point(), device="gpu", **given)


# --- identity ----------------------------------------------------------------------------------------

RUN = Run(toy_agents.Walker(), toy_envs.Point(), budget=64, evals=1)


def test_the_kind_is_part_of_a_runs_identity_except_for_the_cpu():
    cpu, other = replace(RUN, device="cpu"), replace(RUN, device="gpu")
    assert RUN.hash == cpu.hash != other.hash
    assert "device" not in cpu.config() and other.config()["device"] == "gpu"
    payload = {"agent": "ppo", "fields": {}, "env": "probe/bandit", "env_fields": {}, "seeds": [0], "budget": 8192,
               "evals": 1, "eval_episodes": 1}  # fmt: skip
    assert on(payload, "cpu") == payload and resolve(on(payload, "gpu")).device == "gpu"
    assert resolve(payload).device == "cpu"


def test_tiers_have_folders_of_their_own_on_a_gpu(tmp_path):
    from prospect_rl.experiments.register import load

    experiment = load("serene_maze")
    cpu, gpu = (plan(experiment, "smoke", root=tmp_path, device=kind) for kind in ("cpu", "gpu"))
    assert {one.out for one in cpu}.isdisjoint(one.out for one in gpu)
    assert {one.hash for one in cpu}.isdisjoint(one.hash for one in gpu)
    assert {one.device for one in gpu} == {"gpu"} and gpu[0].out.name.endswith("-gpu")
    assert {one.device for one in plan(experiment, "smoke", root=tmp_path, device="auto")} == {"cpu"}


def test_a_run_on_another_kind_is_refused_and_on_another_model_noticed(tmp_path):
    with pytest.raises(ValueError, match="the run is for a gpu, but JAX uses the cpu in this process: "):
        train_run(replace(RUN, device="gpu"))
    train_run(RUN, out=tmp_path)
    path = tmp_path / "run.json"
    facts = durable.read_object(path)
    assert facts["versions"]["device"] == "cpu"
    path.write_text(json.dumps(facts | {"versions": facts["versions"] | {"device": "NVIDIA A100"}}))
    assert any("versions.device: NVIDIA A100 -> cpu" in text for text in train_run(RUN, out=tmp_path).notices)
    path.write_text(json.dumps(facts | {"config": facts["config"] | {"device": "gpu"}}))
    with pytest.raises(ValueError, match="contains a run with another configuration: device: gpu -> cpu$"):
        train_run(RUN, out=tmp_path)


def test_a_device_without_memory_says_what_to_reduce(tmp_path, monkeypatch):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")

    monkeypatch.setattr("prospect_rl.experiments.run.program.Program.advance", full)
    with pytest.raises(ValueError, match=r"^the cpu has no memory left: reduce one of .*eval_episodes \(1\); what "):
        train_run(RUN, out=tmp_path)


# --- pools -------------------------------------------------------------------------------------------


def test_a_sweep_starts_what_has_room(tmp_path):
    class Pool(Fake):
        def room(self, kind="cpu"):
            return sum(one.device == kind for one in self.running) < {"gpu": 1, "cpu": 2}[kind]

        def wait(self, seconds):
            most.append(sorted(one.device for one in self.running))
            return super().wait(seconds)

    most, pool = [], Pool({}, capacity=3)
    jobs = [replace(job(tmp_path, seed), payload=on({}, "gpu" if seed < 2 else "cpu")) for seed in range(4)]
    outcome = sweep(jobs, pool)
    assert len(outcome.finished) == 4 and most[0] == ["cpu", "cpu", "gpu"]


SCRIPT = """
import json, os, sys
from prospect_rl.experiments.run import device
from prospect_rl.experiments.sweeps import workers
from prospect_rl.experiments.sweeps.child import End

device.count = lambda: 1  # a resource of Ray's, not a real one


class Telling(workers.Worker):
    def run(self, message):
        names = ("JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION", "CUDA_VISIBLE_DEVICES")
        return End(json.dumps([os.environ.get(name) for name in names]), False)


workers.Worker = Telling
with workers.pool(3, share=float(sys.argv[1])) as pool:
    started = []
    for kind in ("gpu", "gpu", "gpu", "cpu", "cpu"):
        if pool.room(kind):
            pool.start(kind, {"device": kind})
            started.append(kind)
    told = []
    while pool.running:
        told += [(job, json.loads(said)) for job, said, _ in pool.wait(30)]
    print(json.dumps({"gpus": pool.gpus, "started": started, "told": sorted(told)}))
assert "jax" not in sys.modules
"""


@pytest.mark.parametrize(("share", "on_gpu"), [(0.5, 2), pytest.param(1.0, 1, marks=pytest.mark.slow)])
def test_runs_share_a_gpu_of_ray(share, on_gpu):
    environment = {n: x for n, x in os.environ.items() if n not in ("JAX_PLATFORMS", "XLA_FLAGS", "RAY_ADDRESS")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(share)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["gpus"] == 1 and found["started"] == ["gpu"] * on_gpu + ["cpu"] * (3 - on_gpu)
    fraction = "0.45" if share < 1 else None
    assert [facts for kind, facts in found["told"] if kind == "gpu"] == [["cuda,cpu", fraction, "0"]] * on_gpu
    assert all(facts[0] == "cpu" and facts[1] is None for kind, facts in found["told"] if kind == "cpu")
