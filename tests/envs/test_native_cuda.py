"""Native MuJoCo in programs on a GPU: the handlers of cuda.cc with a driver that needs none (on one: tests/gpu)."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.envs.native import Physics, build, callback, failure, physics
from prospect_rl.envs.threads import cores

HERE = Path(__file__).parent
COUNT, STEPS = 5, 20
ALLOCATE, TO_HOST, TO_DEVICE = b"cuMemHostAlloc", b"cuMemcpyDtoHAsync_v2", b"cuMemcpyHtoDAsync_v2"
pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")


class Staged(Physics):
    """Physics whose calls go through the handlers for a GPU, in programs on a CPU."""

    def _call(self, target, on_host, shapes, *args):
        return super()._call(f"{target}_staged", on_host, shapes, *args)


def of(cls: type[Physics]) -> Physics:
    made = envs.make("mujoco/half_cheetah").physics
    return cls(made.model, substeps=made.substeps, reads=made.reads, backend="ffi")


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> ctypes.CDLL:
    """A CUDA driver that copies within the host's memory, when it is waited for."""
    if jax.default_backend() != "cpu":
        pytest.skip("the handlers are called in programs on a CPU")
    path = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    command = [build.compiler() or "", "-std=c++17", "-shared", "-fPIC", str(HERE / "fake_libcuda.cc"), "-o", str(path)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module")
def path() -> Path:
    """The library that is built for a GPU, and targets for CPU programs that lead to its handlers."""
    return build.build((build.HERE / "batch.cc", HERE / "staged.cc"))


@pytest.fixture(scope="module")
def staged(path, driver) -> ctypes.CDLL:
    library = build.opened(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROSPECT_LIBCUDA", driver._name)
        library.ProspectDriver.restype = ctypes.c_char_p
        assert library.ProspectDriver() == b""
    targets = {"prospect_mujoco_reset_staged": "StagedReset", "prospect_mujoco_step_staged": "StagedStep"}
    build.register(library, "cpu", targets)
    library.ProspectThreads(2)
    return library


@pytest.fixture
def both(staged, monkeypatch) -> tuple[Physics, Physics]:
    """The same physics through the handlers for a CPU, and through those for a GPU."""
    plain = of(Physics)
    monkeypatch.setattr(build, "load", lambda: staged)
    return plain, of(Staged)


def roll(p: Physics, count: int = COUNT, bad: int | None = None) -> tuple[np.ndarray, ...]:
    """Reset some of `count` simulations and step some of them: all that the calls return."""

    def one(rows, control):
        rows, read, failed = jax.vmap(p.step)(rows, control, jnp.arange(count) != 1)
        return rows, (rows, read, failed)

    def program(noise, controls):
        start = jax.vmap(p.reset)(noise[:, :q], noise[:, q:], jnp.arange(count) != 2)
        return start, jax.lax.scan(one, start[0], controls)

    q, v, u = p.model.nq, p.model.nv, p.model.nu
    draws = np.random.default_rng(3)  # on the host, because a GPU rounds sums of products otherwise than a CPU
    noise = draws.uniform(-0.1, 0.1, (count, q + v)).astype(np.float32)
    controls = draws.uniform(-1, 1, (STEPS, count, u)).astype(np.float32)
    if bad is not None:
        controls[STEPS // 2, bad] = np.nan
    return tuple(map(np.asarray, jax.tree.leaves(jax.jit(program)(noise, controls))))


def same(left: tuple[np.ndarray, ...], right: tuple[np.ndarray, ...]) -> None:
    assert len(left) == len(right) == 6
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_the_handlers_for_a_gpu_give_the_bits_of_those_for_a_cpu(both, driver):
    plain, staged = both
    before = {name: driver.FakeCalls(name) for name in (ALLOCATE, TO_HOST, TO_DEVICE)}
    same(roll(plain), roll(staged))
    calls = {name: driver.FakeCalls(name) - count for name, count in before.items()}
    assert calls[ALLOCATE] == 2, "a reset and a step have one block each, used again at every call"
    assert calls[TO_HOST] == 3 + 3 * STEPS and calls[TO_DEVICE] == 2 + 3 * STEPS


def test_a_simulation_that_fails_is_told(both):
    plain, staged = both
    found = roll(staged, bad=3)
    assert "CTRL" in failure().upper()
    assert found[-1][STEPS // 2].tolist() == [False, False, False, True, False]
    same(roll(plain, bad=3), found)


def test_a_block_is_not_overwritten_while_a_stream_copies_from_it(staged):
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    out = np.zeros_like(data)
    staged.StagedDouble(data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), 4, 3)
    np.testing.assert_array_equal(out, 2 * data)


@pytest.mark.parametrize("name", [TO_HOST, TO_DEVICE, b"cuStreamSynchronize", b"cuEventRecord"])
def test_an_error_of_the_driver_is_one_line(both, driver, name):
    row = both[0].reset(jnp.zeros(9), jnp.zeros(9), True)[0]
    driver.FakeFail(name)
    try:
        with pytest.raises(jax.errors.JaxRuntimeError) as told:
            jax.block_until_ready(both[1].step(row, jnp.zeros(6), True))
    finally:
        driver.FakeFail(b"")
    said = "MuJoCo on the GPU: CUDA error 700, an illegal memory access"
    assert said in str(told.value).splitlines()[0]
    after = both[1].step(row, jnp.zeros(6), True)[0]
    np.testing.assert_array_equal(after, both[0].step(row, jnp.zeros(6), True)[0])


@pytest.fixture
def on_gpu(path, tmp_path, monkeypatch) -> dict[str, dict[str, str]]:
    """As if JAX ran on a GPU: what is registered, by platform. The library is a copy, which opens its own driver."""
    registered, copy = {}, Path(shutil.copy(path, tmp_path))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(build, "build", lambda sources: copy)
    monkeypatch.setattr(build, "register", lambda library, platform, targets: registered.update({platform: targets}))
    monkeypatch.setattr(build, "load", build.load.__wrapped__)
    monkeypatch.setattr(callback, "THREADS", 1)
    physics.use_all_cores.cache_clear()
    yield registered
    physics.use_all_cores.cache_clear()


def test_a_gpu_has_compiled_calls_on_all_cores(on_gpu, driver, monkeypatch):
    monkeypatch.setenv("PROSPECT_LIBCUDA", driver._name)
    assert physics.choose.__wrapped__("auto") == "ffi"
    assert callback.THREADS == cores()
    assert on_gpu["CUDA"] == {
        "prospect_mujoco_reset": "ProspectResetCuda", "prospect_mujoco_step": "ProspectStepCuda",
    }  # fmt: skip
    assert on_gpu["cpu"] == build.TARGETS, "a program may be put on the CPU beside it"


@pytest.mark.parametrize("missing", ["no file", "no functions"])
def test_without_a_driver_it_goes_on_in_python(on_gpu, driver, path, tmp_path, monkeypatch, missing):
    monkeypatch.setenv("PROSPECT_LIBCUDA", str(tmp_path / "none.so") if missing == "no file" else str(path))
    said = "the CUDA driver cannot be opened" if missing == "no file" else "the CUDA driver has no cu"
    with pytest.warns(UserWarning, match=f"Python callbacks, which are slower: {said}"):
        assert physics.choose.__wrapped__("auto") == "callback"
    with pytest.raises(ValueError, match=said):
        physics.choose.__wrapped__("ffi")
