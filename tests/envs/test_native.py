"""Native MuJoCo as a pure function: the engine itself; the tasks on it are tested elsewhere.

What needs another process (caches, missing compilers, hangs) runs `SCRIPT` there.
"""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from prospect_rl.envs.native import Physics, Read, failure, threads
from prospect_rl.envs.native.build import compiler

ROOT = Path(__file__).parents[2]
XML = """
<mujoco><option timestep="0.01"/><worldbody>
  <geom type="plane" size="5 5 1"/>
  <body name="ball" pos="0 0 1"><joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/>
    <geom type="sphere" size="0.1" mass="1"/>
    <body pos="0.2 0 0"><joint name="hinge" type="hinge" axis="0 1 0"/>
      <geom type="capsule" size=".03" fromto="0 0 0 .3 0 0"/></body>
  </body></worldbody>
  <actuator><motor joint="hinge" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>
"""
READS = (
    Read("qpos", 0, 3),
    Read("qvel", 0, 3),
    Read("qpos", 0, 1, "rate"),
    Read("xpos", 6, 3, "rate"),
    Read("qpos", 2, 1, "cos"),
    Read("xpos", 3, 3, "difference", 6),
    Read("cfrc_ext", 6, 6),
)
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """MuJoCo writes what it warns of into a file in the current folder."""
    monkeypatch.chdir(tmp_path)


def physics(backend="auto", contact=True) -> Physics:
    return Physics(mujoco.MjModel.from_xml_string(XML), substeps=3, reads=READS, contact=contact, backend=backend)


def begin(p: Physics, count: int) -> jax.Array:
    noise = jax.random.uniform(jax.random.key(1), (count, 3), minval=-0.2, maxval=0.2)
    return jax.vmap(p.reset, (0, 0, None))(noise, -noise, True)[0]


def controls(count: int, steps: int) -> jax.Array:
    return jax.random.uniform(jax.random.key(2), (steps, count, 1), minval=-1, maxval=1)


def roll(p: Physics, rows: jax.Array, actions: jax.Array, live: jax.Array | bool = True) -> tuple:
    def one(rows, action):
        rows, read, failed = jax.vmap(p.step)(rows, action, jnp.broadcast_to(live, rows.shape[0]))
        return rows, (read, failed)

    return jax.jit(lambda rows: jax.lax.scan(one, rows, actions))(rows)


def loop(p: Physics, row: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(state, reads) after the actions [T, 1], by MuJoCo's own functions alone."""
    m = p.model
    d = mujoco.MjData(m)
    mujoco.mj_setState(m, d, p.state(row), int(mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_kinematics(m, d)
    dt = m.opt.timestep * p.substeps
    reads = np.zeros(0)
    for action in actions:
        x, xpos = d.qpos.copy(), d.xpos.copy()
        d.ctrl[:] = action
        for _ in range(p.substeps):
            mujoco.mj_step(m, d)
        mujoco.mj_rnePostConstraint(m, d)
        reads = np.concatenate([
            d.qpos, d.qvel, (d.qpos[:1] - x[:1]) / dt, (d.xpos[2] - xpos[2]) / dt, np.cos(d.qpos[2:]),
            d.xpos[1] - d.xpos[2], d.cfrc_ext[1],
        ])  # fmt: skip
    state = np.zeros(p.states)
    mujoco.mj_getState(m, d, state, int(mujoco.mjtState.mjSTATE_INTEGRATION))
    return state, reads.astype(np.float32)


def test_a_rollout_is_what_mujoco_makes_in_a_loop():
    p, actions = physics(), controls(2, 40)
    rows = begin(p, 2)
    after, (reads, failed) = roll(p, rows, actions)
    assert not failed.any()
    for i in range(2):
        state, read = loop(p, np.asarray(rows[i]), np.asarray(actions[:, i]))
        np.testing.assert_array_equal(p.state(after)[i], state)
        np.testing.assert_array_equal(reads[-1, i], read)
    assert np.abs(reads[:, :, -6:]).max() > 1, "the ball has not met the floor: contact forces are not tested"


@needs_compiler
@pytest.mark.parametrize("contact", [False, True])
def test_the_callback_twin_is_equal_bit_for_bit(contact):
    actions, live = controls(5, 30), jnp.arange(5) != 2
    ends = []
    for backend in ("ffi", "callback"):
        p = physics(backend, contact)
        rows = begin(p, 5)
        ends.append((rows, *jax.tree.leaves(roll(p, rows, actions, live))))
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_row_does_not_depend_on_its_company_or_on_threads():
    p, actions = physics(), controls(6, 20)
    rows = begin(p, 6)
    together = roll(p, rows, actions)[0]
    alone = jnp.concatenate([roll(p, rows[i : i + 1], actions[:, i : i + 1])[0] for i in range(6)])
    np.testing.assert_array_equal(together, alone)
    nested = jax.vmap(lambda r, a: roll(p, r, a)[0], (0, 1))(rows.reshape(2, 3, -1), actions.reshape(20, 2, 3, 1))
    np.testing.assert_array_equal(together, nested.reshape(6, -1))
    threads(1)
    try:
        np.testing.assert_array_equal(together, roll(p, rows, actions)[0])
    finally:
        threads(2)


def test_rows_that_do_not_live_stay_as_they_are():
    p = physics()
    rows = begin(p, 3)
    live = jnp.array([True, False, True])
    after, read, failed = jax.vmap(p.step)(rows, jnp.ones((3, 1)), live)
    np.testing.assert_array_equal(after[1], rows[1])
    assert not np.array_equal(after[0], rows[0])
    assert not read[1].any()
    assert not failed.any()
    blank, read = jax.vmap(p.reset)(jnp.zeros((3, 3)), jnp.zeros((3, 3)), jnp.zeros(3, bool))
    assert not blank.any()
    assert not read.any()


@pytest.mark.parametrize("backend", ["auto", "callback"])
def test_a_failed_simulation_is_named_and_the_others_go_on(backend):
    p = physics(backend)
    rows = begin(p, 3)
    control = jnp.zeros((3, 1)).at[1].set(jnp.nan)
    after, read, failed = jax.vmap(p.step, (0, 0, None))(rows, control, True)
    assert failed.tolist() == [False, True, False]
    assert "CTRL" in failure().upper()
    assert failure() == "", "it is told once"
    assert np.isfinite(p.state(after)).all()
    assert np.isfinite(read).all()
    np.testing.assert_array_equal(after[0], jax.vmap(p.step, (0, 0, None))(rows, jnp.zeros((3, 1)), True)[0][0])


@pytest.mark.parametrize("backend", ["auto", "callback"])
def test_a_state_that_blows_up_is_a_failure_too(backend):
    p = physics(backend)
    state = np.array(p.reset(jnp.zeros(3), jnp.zeros(3), True)[0]).view(np.float64)
    state[4:7] = 1e30  # the velocities, after time and positions
    row = jnp.asarray(state.view(np.uint32))
    after, read, failed = p.step(row, jnp.zeros(1), True)
    assert failed
    assert np.isfinite(p.state(after)).all()
    assert np.isfinite(read).all()


def test_two_programs_at_once_do_not_disturb_each_other():
    p, actions = physics(), controls(4, 200)
    rows = begin(p, 4)

    @jax.jit
    def program(rows):
        return roll(p, rows, actions)[0]

    expected, found = np.asarray(program(rows)), {}

    def work(i):
        found[i] = [np.asarray(program(rows)) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    [w.start() for w in workers]
    [w.join(60) for w in workers]
    assert len(found) == 3, "a program hangs"
    for results in found.values():
        for result in results:
            np.testing.assert_array_equal(result, expected)


def test_a_read_beyond_its_field_is_refused():
    with pytest.raises(ValueError, match="exceeds the 3 numbers of qpos"):
        Physics(mujoco.MjModel.from_xml_string(XML), substeps=1, reads=(Read("qpos", 2, 2),))


SCRIPT = """
import sys, jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **kw: hits.append(name))
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
import mujoco
from prospect_rl.envs.native import Physics, Read
p = Physics(mujoco.MjModel.from_xml_string(sys.argv[2]), substeps=2, reads=(Read("qpos", 0, 3),))
@jax.jit
def program(key):
    row, _ = p.reset(jnp.zeros(3), jnp.zeros(3), True)
    return jax.lax.fori_loop(0, 5, lambda i, r: p.step(r, jnp.ones(1), True)[0], row)
key = jax.random.key(0)
hits.clear()
end = program(key).block_until_ready()
print(p.backend, hits.count("/jax/compilation_cache/cache_hits"), hits.count("/jax/compilation_cache/cache_misses"),
      int(end.sum()))
"""


def run(folder: Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder), XML], cwd=ROOT, capture_output=True, text=True,
        timeout=200, env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_compiler
def test_a_second_process_compiles_nothing(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert first[:3] == ["ffi", "0", "1"]
    assert second[:3] == ["ffi", "1", "0"], "the program was not found in the cache of another process"
    assert first[3] == second[3]


def test_without_a_compiler_it_goes_on_in_python(tmp_path):
    backend, _, _, end = run(tmp_path, PATH="", CXX="", PROSPECT_CACHE=str(tmp_path / "empty"))
    assert backend == "callback"
    assert end == run(tmp_path)[3]


@pytest.mark.slow
def test_calls_of_every_size_end_and_keep_no_memory():
    """A hundred thousand calls: the test's own time limit is the watchdog."""
    p = physics(contact=False)
    for count in (1, 7, 64, 4096):
        roll(p, begin(p, count), controls(count, 3))
    program = jax.jit(lambda row: jax.lax.fori_loop(0, 25_000, lambda i, r: p.step(r, jnp.zeros(1), True)[0], row))
    row = begin(p, 1)[0]
    program(row).block_until_ready()
    before = _resident()
    for _ in range(4):
        program(row).block_until_ready()
    assert _resident() - before < 20e6


def _resident() -> float:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@needs_compiler
def test_a_build_with_sanitizers_finds_nothing(tmp_path):
    def find(name: str) -> str:
        command = [compiler() or "", f"-print-file-name={name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    libraries = [find("libasan.so"), find("libstdc++.so")]  # the second, for jaxlib's exceptions
    if not all(Path(library).exists() for library in libraries):
        pytest.skip("the compiler has no libasan")
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all -g"
    environment = {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    told = run(tmp_path, PROSPECT_CXXFLAGS=flags, PROSPECT_CACHE=str(tmp_path / "built"), **environment)
    assert told[0] == "ffi"
