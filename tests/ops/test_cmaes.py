"""CMA-ES against the `cmaes` package, told the same points."""

import cmaes as reference
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.ops import cmaes


def objective(x):
    """A tilted ellipsoid with its top off the origin, of any number of dimensions."""
    shifted = np.asarray(x, np.float64) - 0.3
    return -np.sum(np.linspace(1, 10, x.shape[-1]) * shifted**2, axis=-1) - 0.5 * shifted.sum(axis=-1) ** 2


def pair(n, points, sigma, dtype, every=1, generations=12):
    """Our state and the reference's after some generations, told the same points.

    The points are ours: where eigenvalues repeat, eigenvectors are a matter of taste.
    """
    mean = np.random.RandomState(0).randn(n)
    noise = np.random.RandomState(5).randn(generations, points, n)
    ours, theirs = cmaes.init(jnp.asarray(mean, dtype), sigma), reference.CMA(mean, sigma, population_size=points)
    sample, tell, decompose = jax.jit(cmaes.sample), jax.jit(cmaes.tell), jax.jit(cmaes.decompose)
    for generation in range(generations):
        x = np.asarray(sample(ours, jnp.asarray(noise[generation], dtype)))
        theirs.tell([(point, -objective(point)) for point in x.astype(np.float64)])
        ours = tell(ours, x, jnp.asarray(objective(x), dtype))
        if (generation + 1) % every == 0:
            ours = decompose(ours)
    return ours, theirs


@pytest.mark.parametrize(("n", "points"), [(20, 6), (63, 6), (5, 13)])
def test_equals_the_reference_in_double_precision(n, points):
    with jax.enable_x64(True):
        ours, theirs = pair(n, points, 0.5, jnp.float64)
        np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-10)
        np.testing.assert_allclose(ours.sigma, theirs._sigma, rtol=1e-10)
        np.testing.assert_allclose(ours.cov, theirs._C, atol=1e-10)
        np.testing.assert_allclose(ours.path_sigma, theirs._p_sigma, atol=1e-10)
        np.testing.assert_allclose(ours.path_cov, theirs._pc, atol=1e-10)


def test_close_to_the_reference_in_single_precision():
    ours, theirs = pair(20, 6, 0.5, jnp.float32)
    np.testing.assert_allclose(ours.mean, theirs.mean, atol=2e-5)
    np.testing.assert_allclose(ours.sigma, theirs._sigma, rtol=2e-5)
    np.testing.assert_allclose(ours.cov, theirs._C, atol=2e-5)
    assert ours.mean.dtype == ours.cov.dtype == jnp.float32 and ours.generation.dtype == jnp.int32


def test_rates_equal_the_reference():
    for n, points in [(2, 4), (20, 6), (228, 6), (10, 25)]:
        r, theirs = cmaes.rates(n, points), reference.CMA(np.zeros(n), 1.0, population_size=points)
        names = ("mu_eff", "c1", "c_sigma", "d_sigma")
        np.testing.assert_allclose([getattr(r, x) for x in names], [getattr(theirs, "_" + x) for x in names], 1e-12)
        np.testing.assert_allclose([r.c_mu, r.c_cov, r.chi], [theirs._cmu, theirs._cc, theirs._chi_n], 1e-7)
        np.testing.assert_allclose(r.weights, theirs._weights, 1e-6)


def test_finds_the_top_with_waiting_eigenvalues():
    assert cmaes.decompose_every(63, 6) == 2 and cmaes.decompose_every(228, 6) == 7
    with jax.enable_x64(True):
        ours, _ = pair(8, 8, 0.5, jnp.float64, every=2, generations=150)
        np.testing.assert_allclose(ours.mean, 0.3, atol=1e-3)


def test_samples_have_the_covariance():
    """Unit vectors as noise give the columns of a square root of the covariance."""
    root = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    cma = cmaes.decompose(cmaes.init(jnp.arange(4.0), 0.5).replace(cov=jnp.asarray(root @ root.T)))
    steps = (cmaes.sample(cma, jnp.eye(4)) - jnp.arange(4.0)) / 0.5
    np.testing.assert_allclose(steps.T @ steps, root @ root.T, atol=1e-4)


def test_vmap_is_one_by_one():
    starts, noise = jnp.arange(6.0).reshape(2, 3), jax.random.normal(jax.random.key(0), (2, 4, 3))

    @jax.jit
    def once(mean, noise):
        cma = cmaes.init(mean, 0.5)
        x = cmaes.sample(cma, noise)
        return cmaes.decompose(cmaes.tell(cma, x, x[:, 0]))

    both = jax.vmap(once)(starts, noise)
    for i in range(2):
        for a, b in zip(jax.tree.leaves(once(starts[i], noise[i])), jax.tree.leaves(both), strict=True):
            np.testing.assert_allclose(np.abs(a), np.abs(b[i]), atol=1e-5)  # eigenvectors but for their sign


def test_a_nan_is_the_worst():
    cma = cmaes.init(jnp.zeros(3), 1.0)
    x = jax.random.normal(jax.random.key(1), (4, 3))
    tell = jax.jit(cmaes.tell)
    low = tell(cma, x, jnp.array([3.0, -jnp.inf, 2.0, 1.0]))
    nan = tell(cma, x, jnp.array([3.0, jnp.nan, 2.0, 1.0]))
    np.testing.assert_array_equal(low.cov, nan.cov)


def test_an_indefinite_covariance_is_mended():
    cma = cmaes.init(jnp.zeros(3), 1.0).replace(cov=jnp.diag(jnp.array([1.0, -0.5, 2.0])))
    mended = cmaes.decompose(cma)
    np.testing.assert_allclose(np.linalg.eigvalsh(mended.cov), [1e-8, 1, 2], atol=1e-6)
    assert cmaes.stopped(mended)


@pytest.mark.parametrize(
    ("sigma", "scale", "ended"),
    [(0.5, 1.0, False), (1e-7, 1.0, True), (2e4, 1.0, True), (0.5, 1e-4, True), (np.nan, 1.0, True)],
)
def test_stopped(sigma, scale, ended):
    cma = cmaes.init(jnp.zeros(2), sigma).replace(scale=jnp.array([1.0, scale]))
    assert bool(cmaes.stopped(cma)) is ended


def test_too_few_points():
    with pytest.raises(ValueError, match="at least 4, not 3"):
        cmaes.rates(2, 3)
