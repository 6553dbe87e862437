"""Updates of `smose` are those of its released code, and of the same rules in NumPy: same losses, same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.agents.off_policy import batch
from tests.parity import smose_official, smose_rules
from tests.parity.smose_official import FILE, UPDATES, WIDTH, actor_of, begun, draws, named


def wide(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def critic_of(params):
    """Ours as the rules have it."""
    layers = wide(params["params"])
    return {f"{short}{i}": layers[f"Dense_{i}"][name]
            for i in (0, 1) for short, name in (("w", "kernel"), ("b", "bias"))}  # fmt: skip


@pytest.mark.parametrize("w_aux", [0.1, 3.0])
def test_updates_by_the_released_rules(w_aux):
    agent, learner = begun(8, w_aux=w_aux)
    update, first = jax.jit(agent.update), wide(actor_of(learner.actor))
    rules = smose_rules.Rules(
        first, [*map(critic_of, learner.critics)], gamma=0.99, tau=0.005, rate=3e-4, critic_rate=1e-3, w_aux=w_aux,
        every=2,
    )  # fmt: skip
    for t in range(UPDATES):
        data, key = batch(seed=t), jax.random.key(t)
        rows = {name: wide(getattr(data, name)) for name in ("obs", "action", "reward", "terminated", "next_obs")}
        losses = rules.update(rows, wide(draws(key)))
        learner, figures = update(learner, data, key)
        assert 2 * figures["learn/loss_critic"] == pytest.approx(losses["critic"], rel=1e-4)
        if t % 2 == 0:
            whole = figures["learn/loss_actor"] + w_aux * figures["learn/loss_aux"]
            assert whole == pytest.approx(losses["actor"], rel=1e-4, abs=1e-5)
    for mine, theirs in ((actor_of(learner.actor), rules.actor),
                         *zip(map(critic_of, learner.critics), rules.critics, strict=True),
                         *zip(map(critic_of, learner.target_critics), rules.targets, strict=True)):  # fmt: skip
        for name in theirs:
            np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5, err_msg=name)
    assert float(learner.log_alpha) == pytest.approx(float(rules.log_alpha["log_alpha"]), abs=1e-6)
    moved = np.abs(actor_of(learner.actor)["router/kernel"] - first["router/kernel"]).max()
    assert moved > 1e-3 and jnp.isfinite(moved), "the router hardly moved"


@pytest.mark.skipif(not FILE.exists(), reason=f"{smose_official.__name__} has not written its file")
def test_updates_of_the_released_code():
    """From the same weights by the same batches and draws (see smose_official.py for their making)."""
    agent, learner = begun(WIDTH)
    update = jax.jit(agent.update)
    with np.load(FILE, allow_pickle=False) as file:
        official = dict(file)

    def check(end):
        for name, x in named(learner).items():
            np.testing.assert_allclose(x, official.pop(f"{end}/{name}"), atol=1e-5, err_msg=f"{end} {name}")

    check("before")
    for t in range(UPDATES):
        learner, _ = update(learner, batch(seed=t), jax.random.key(t))
    check("after")
    assert not official
