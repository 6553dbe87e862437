"""Rewards of groups: worked examples, and what must hold for any group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from prospect_rl.agents.ops import groups

RIGHT = jnp.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
SCORES = jnp.array([[2, 1, 4, 5], [0, 0.25, 0.5, 1], [3, 3, 3, 3], [9, 1, 2, 4]], jnp.float32)
SHAPED = [[-0.05, 0.95, 0.05, 1.05], [-0.05, -0.025, 0, 0.05], [0.95] * 4, [0.95, -0.05, -0.0166667, 0.05]]
SPREADS = [1.5811388, 0.369755, 0.0, 3.082207]
WEIGHTS = [2.6725097, 0.4125199, 0.4013676, 2.9999540]
BY_STD = [
    [-0.9479, 0.7756, -0.7756, 0.9479], [-1.0247, -0.4391, 0.1464, 1.3174], [0, 0, 0, 0],
    [1.4944, -0.5908, -0.5213, -0.3823],
]  # fmt: skip
BY_MEAN = [
    [-0.55, 0.45, -0.45, 0.55], [-0.04375, -0.01875, 0.00625, 0.05625], [0, 0, 0, 0],
    [0.716667, -0.283333, -0.25, -0.183333],
]  # fmt: skip


def test_rewards_weights_and_advantages_of_four_groups():
    """alpha = beta = .05, weights from .4 to 3 with slope 6 around the mean of the four spreads."""
    shaped = groups.hero_shape(RIGHT, SCORES, alpha=0.05, beta=0.05)
    np.testing.assert_allclose(shaped, SHAPED, atol=1e-5)
    spreads = groups.spread(SCORES)
    np.testing.assert_allclose(spreads, SPREADS, atol=1e-5)
    weights = groups.hero_weight(spreads, jnp.mean(spreads), least=0.4, most=3.0, steep=6.0)
    np.testing.assert_allclose(weights, WEIGHTS, atol=1e-5)
    np.testing.assert_allclose(groups.group_advantage(shaped, by_std=False), BY_MEAN, atol=1e-5)
    for rewards in (shaped, weights[:, None] * shaped):  # divided by the deviation, weights cancel
        np.testing.assert_allclose(groups.group_advantage(rewards, by_std=True), BY_STD, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_what_holds_for_any_group(seed):
    key = jax.random.split(jax.random.key(seed), 4)
    right = jax.random.bernoulli(key[0], 0.4, (64, 8))
    scores = 3 * jax.random.normal(key[1], (64, 8))
    order = jax.random.permutation(key[2], 8)
    shaped = groups.hero_shape(right, scores, alpha=0.1, beta=0.2)
    assert jnp.all(jnp.where(right, (shaped >= 0.8 - 1e-6) & (shaped <= 1.2 + 1e-6), jnp.abs(shaped) <= 0.1 + 1e-6))
    assert jnp.all(jnp.min(jnp.where(right, shaped, jnp.inf), 1) > jnp.max(jnp.where(right, -jnp.inf, shaped), 1))
    affine = groups.hero_shape(right, 7 * scores - 20, alpha=0.1, beta=0.2)
    np.testing.assert_allclose(affine, shaped, atol=1e-4)
    np.testing.assert_allclose(
        groups.hero_shape(right[:, order], scores[:, order], alpha=0.1, beta=0.2), shaped[:, order], atol=1e-6
    )
    plain = groups.hero_shape(right, scores, alpha=0.0, beta=0.0)
    np.testing.assert_array_equal(plain, right)  # the verifier alone is the limit


@pytest.mark.parametrize("by_std", [False, True])
def test_equal_rewards_have_no_advantage(by_std):
    """Not even that of a rounding error, which the deviation would blow up."""
    equal = jnp.broadcast_to(jax.random.normal(jax.random.key(0), (64, 1)), (64, 7))
    np.testing.assert_array_equal(groups.group_advantage(equal, by_std=by_std), np.zeros((64, 7)))


def test_scores_that_are_not_finite_and_empty_strata():
    right = jnp.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    scores = jnp.array([[jnp.nan, 1, 2, jnp.inf], [jnp.nan] * 4])
    shaped = groups.hero_shape(right, scores, alpha=0.1, beta=0.1)
    np.testing.assert_allclose(shaped, [[0.9, 0.9, -0.1, -0.1], [0.9] * 4], atol=1e-6)
    np.testing.assert_allclose(groups.spread(scores), [0.5, 0], atol=1e-6)
    tied = groups.hero_shape(right, jnp.ones((2, 4)), alpha=0.1, beta=0.1, tied=0.5)
    np.testing.assert_allclose(tied, right, atol=1e-6)


def test_weights_lie_between_their_bounds():
    spreads = jnp.linspace(0, 10, 50)
    weights = groups.hero_weight(spreads, jnp.float32(4), least=0.4, most=3.0, steep=6.0)
    assert jnp.all(jnp.diff(weights) >= 0) and weights.min() >= 0.4 and weights.max() <= 3
    at = groups.hero_weight(jnp.float32(4), jnp.float32(4), least=0.4, most=3.0, steep=6.0)
    assert at == pytest.approx(1.7)


def test_auroc_and_rank_correlation_agree_with_scipy():
    x, y = np.random.default_rng(0).integers(0, 5, (2, 6, 9)).astype(np.float32)
    theirs = [stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(groups.rank_correlation(jnp.asarray(x), jnp.asarray(y)), theirs, atol=1e-5)
    right = y > 2
    each = [
        stats.mannwhitneyu(row[mask], row[~mask]).statistic / (mask.sum() * (~mask).sum())
        for row, mask in zip(x, right, strict=True)
        if 0 < mask.sum() < 9
    ]
    assert float(groups.auroc(jnp.asarray(right), jnp.asarray(x))) == pytest.approx(np.mean(each), abs=1e-5)
    wrong, sure = groups.shares(jnp.array([[0, 0], [1, 1], [0, 1], [0, 0]], bool))
    assert (wrong, sure) == (0.5, 0.25)


def test_a_tabular_language_model_starves_without_scores():
    """24 problems of 5 symbols out of 6; the reward model counts right symbols, but pays 1.5 for a wrong last one.

    The verifier alone never sees a right answer (1 in 7776 by chance), the reward model alone is hacked, HERO is not.
    """
    problems, length, symbols, group, updates = 24, 5, 6, 8, 400
    answer = jax.random.randint(jax.random.key(9), (problems, length), 0, symbols)

    def final(reward, step):
        def update(logits, key):
            k_say, k_noise = jax.random.split(key)
            said = jax.random.categorical(k_say, logits[:, None], shape=(problems, group, length))
            hits = said == answer[:, None]
            right, count = jnp.all(hits, -1), jnp.sum(hits, -1)
            noise = 0.5 * jax.random.normal(k_noise, (problems, group))
            advantage = reward(right, count + 1.5 * ~hits[..., -1] + noise)
            taken = jax.nn.one_hot(said, symbols) - jax.nn.softmax(logits)[:, None]
            return logits + step * jnp.mean(advantage[:, :, None, None] * taken, axis=1) * group, None

        logits = jnp.zeros((problems, length, symbols))
        logits, _ = jax.lax.scan(update, logits, jax.random.split(jax.random.key(1), updates))
        chances = jnp.take_along_axis(jax.nn.softmax(logits), answer[..., None], -1)[..., 0]
        return float(jnp.mean(jnp.prod(chances, axis=1)))

    def hero(right, scores):
        return groups.group_advantage(groups.hero_shape(right, scores, alpha=0.05, beta=0.05), by_std=True)

    assert final(lambda right, scores: groups.group_advantage(right * 1.0, by_std=True), 0.05) < 0.01
    assert final(lambda right, scores: groups.group_advantage(scores, by_std=True), 0.05) < 0.05
    assert final(hero, 0.05) > 0.9
