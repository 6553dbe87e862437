"""Twenty updates of CDE are the official code's: same losses, same weights (see cde_official.py for their making)."""

import dataclasses
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.optidice import Rows
from tests.parity.cde_official import FILE, STEPS, begun, linears, networks

LOSSES = ("loss_v", "loss_e", "loss_behaviour", "loss_policy")


@pytest.fixture(scope="module")
def official():
    with np.load(FILE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def ours(official):
    return replayed(official)


def replayed(official, **fields):
    """(learner after all updates, figures [T]) of ours, from the same weights with the same batches and draws."""
    agent, learner = begun(**fields)
    tree = jax.tree.structure((learner.values, learner.policy))
    values, policy = jax.tree.unflatten(tree, [jnp.asarray(official[f"before/{i}"]) for i in range(tree.num_leaves)])
    learner = dataclasses.replace(learner, values=values, policy=policy)
    names = [field.name for field in dataclasses.fields(Rows)]
    seen = Rows(**{name: jnp.asarray(official[name]) for name in names})

    @jax.jit
    def run(learner, seen, outside, noise):
        def step(learner, at):
            batch, drawn, noise = at
            counts = jnp.ones(drawn.shape[:-1], bool)
            with (
                mock.patch.object(CDE, "outside", lambda *_: (drawn, counts)),
                mock.patch.object(jax.random, "normal", lambda *_: noise),
            ):
                reach = agent.actions.deviation(learner.values.behaviour, batch.obs)
                learner, figures = agent.update(learner, batch, jax.random.key(0))
            return learner, figures | {"reach": reach}

        return jax.lax.scan(step, learner, (seen, outside, noise))

    return run(learner, seen, official["outside"], official["noise"])


def test_losses(official, ours):
    _, figures = ours
    assert len(official["loss_v"]) == STEPS
    for name in LOSSES:
        np.testing.assert_allclose(figures[f"learn/{name}"], official[name], rtol=5e-5, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(figures["reach"], official["deviation"], rtol=1e-5)
    assert (official["loss_outside"] > 0).all(), "the limit outside the data was not at work"


def test_weights_and_multipliers(official, ours):
    learner, _ = ours
    moved, first = [], networks(begun()[1])
    for name, network in networks(learner).items():
        for i, parts in enumerate(linears(network)):
            for part, x in zip(("kernel", "bias"), parts, strict=True):
                np.testing.assert_allclose(x, official[f"after/{name}/{i}/{part}"], atol=5e-6, err_msg=f"{name} {i}")
        moved.append(max(float(np.abs(x - y).max()) for x, y in zip(parts, linears(first[name])[-1], strict=True)))
    assert min(moved) > 1e-3, "the weights hardly moved"
    for name in ("eta_v", "eta_e"):
        np.testing.assert_allclose(getattr(learner.values, name), official[f"after/{name}"], atol=1e-6)
    np.testing.assert_allclose(learner.policy.log_c, official["after/log_c"], atol=1e-6)


def test_the_papers_way_is_another_one(official):
    """With densities of actions the policy's loss is not the official one: the comparison above can fail."""
    _, figures = replayed(official, densities="squashed")
    np.testing.assert_allclose(figures["learn/loss_v"], official["loss_v"], rtol=5e-5)
    assert np.abs(figures["learn/loss_policy"] - official["loss_policy"]).max() > 1e-2
