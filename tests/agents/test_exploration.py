"""Bonuses in numbers worked by hand, what their memories keep, and what is left of them where beta is 0."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import envs
from prospect_rl.agents.online.exploration.bonus import Explorer
from prospect_rl.agents.online.exploration.count import Count
from prospect_rl.agents.online.exploration.icm import ICM
from prospect_rl.agents.online.exploration.noveld import NovelD
from prospect_rl.agents.online.exploration.ride import RIDE
from prospect_rl.agents.online.exploration.rnd import RND
from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.ops import normalise
from tests.agents.on_policy import Ring, played, program, same

TINY = {
    "num_envs": 2, "length": 8, "minibatches": 2, "hidden": (8,), "learning_rate": 3e-4, "entropy": 0.0,
}  # fmt: skip
"""The last two are PPO's own defaults, with which the explorers are compared."""
MODEL = {"features": 4, "width": 8, "model_rate": 3e-3, "centre": False}
EXPLORERS = {
    "count": Count(**TINY, scope="episode", slots=64),
    "count_run": Count(**TINY, scope="run", run_slots=64),
    "rnd": RND(**TINY, **MODEL),
    "icm": ICM(**TINY, **MODEL),
    "noveld": NovelD(**TINY, **MODEL, slots=64),
    "ride": RIDE(**TINY, **MODEL, slots=64),
}


@cache
def case(name):
    """(agent, state, segment, (bonus, kept, figures)) in the ring."""
    agent = EXPLORERS[name].bind(Ring().spec)
    state = agent.init(jax.random.key(0))
    segment = played(agent, Ring(), state)
    return agent, state, segment, jax.jit(agent.bonus)(state.variant, segment, jax.random.key(2))


def first_visits(segment):
    """(N of the episode [T, N]) by a plain loop."""
    steps = segment.steps
    places, ends = np.asarray(steps.info["state_id"]), np.asarray(steps.terminated | steps.truncated)
    out = np.zeros(places.shape)
    for n in range(places.shape[1]):
        seen = {}
        for t in range(len(places)):
            seen[places[t, n]] = out[t, n] = seen.get(places[t, n], 0) + 1
            seen = {} if ends[t, n] else seen
    assert ends[:-1].any() and out.max() > 1
    return out


def test_counts_of_an_episode():
    _, _, segment, (bonus, _, figures) = case("count")
    counts = first_visits(segment)
    np.testing.assert_allclose(bonus, counts**-0.5, rtol=1e-6)
    assert figures["bonus/new"] == pytest.approx(np.mean(counts == 1))


def test_counts_go_on_in_the_next_segment():
    """Stream 0 has been at place 1 once; its episode goes on, and place 1 pays 1 / sqrt(2)."""
    agent, state, segment, _ = case("count")
    at = lambda t, place, end: jax.tree.map(lambda x: x[:1], segment).replace(  # noqa: E731
        steps=jax.tree.map(lambda x: x[:1], segment.steps).replace(
            info={"state_id": jnp.full((1, 2), place, jnp.uint32)},
            terminated=jnp.full((1, 2), end), truncated=jnp.zeros((1, 2), bool),
        )
    )  # fmt: skip
    kept = state.variant
    for t, (place, end, wanted) in enumerate([(1, False, 1), (1, True, 0.5**0.5), (1, False, 1), (2, False, 1)]):
        bonus, kept, _ = agent.bonus(kept, at(t, place, end), jax.random.key(t))
        np.testing.assert_allclose(bonus, np.full((1, 2), wanted), rtol=1e-6)


def test_counts_of_a_run():
    """Both streams and all episodes count, those of the same step too."""
    _, _, segment, (bonus, kept, figures) = case("count_run")
    places = np.asarray(segment.steps.info["state_id"])
    wanted = [[np.sum(places[: t + 1] == places[t, n]) ** -0.5 for n in range(2)] for t in range(8)]
    np.testing.assert_allclose(bonus, wanted, rtol=1e-6)
    assert int(kept.sum()) == 16 and figures["bonus/used"] == pytest.approx(len(np.unique(places)) / 64)


def test_what_is_counted_is_chosen():
    """The ring's observation is its state: both views agree. Real numbers cannot be counted, nor states without ids."""
    agent, state, segment, (bonus, *_) = case("count")
    seen = replace(agent, view="obs")
    np.testing.assert_allclose(seen.bonus(state.variant, segment, jax.random.key(0))[0], bonus, rtol=1e-6)
    blind = Ring(ids=False).spec
    with pytest.raises(ValueError, match="no state_id"):
        Count().bind(blind)
    assert Count(view="obs").bind(blind)
    with pytest.raises(ValueError, match="real numbers cannot be counted"):
        NovelD(view="obs").bind(envs.make("point/sparse").spec)
    for fields in ({"view": "map"}, {"scope": "day"}, {"slots": 100}, {"run_slots": 100}):
        with pytest.raises(ValueError, match=next(iter(fields))):
            Count(**fields)


def test_rnd_pays_the_squared_error_by_its_spread():
    agent, state, segment, (bonus, kept, _) = case("rnd")
    params, obs = state.variant.params, segment.steps.next_obs
    f, g = (
        jax.vmap(jax.vmap(agent.embedding.apply, (None, 0)), (None, 0))(params[n], obs) for n in ("target", "guess")
    )
    error = np.sum((np.asarray(f) - np.asarray(g)) ** 2, axis=-1)
    np.testing.assert_allclose(bonus, error / error.std(), rtol=1e-4)
    centred, _ = replace(agent, centre=True).scaled(state.variant, jnp.asarray(error))
    np.testing.assert_allclose(centred, (error - error.mean()) / error.std(), rtol=1e-3, atol=1e-5)
    assert same(kept.params["target"], params["target"]) and not same(kept.params["guess"], params["guess"])
    assert kept.spread.variance == pytest.approx(error.var(), rel=1e-4)


def test_a_bonus_after_long_without_one_is_cut():
    agent, state, *_ = case("rnd")
    spread = normalise.include(normalise.moments(), jnp.zeros(1_000_000))
    for bonus, seen in ((1.0, 100.0), (0.0, 0.0)):
        got, _ = agent.scaled(replace(state.variant, spread=spread), jnp.array([[bonus]]))
        assert got == pytest.approx(seen)


def test_rnd_grows_tired_of_what_it_sees_again():
    """The error where it trains falls to a tenth; where it never was, it stays above."""
    agent, state, segment, _ = case("rnd")
    once = segment.replace(steps=segment.steps.replace(next_obs=jnp.full_like(segment.steps.next_obs, 1)))
    fit = jax.jit(agent.fitted)
    model = state.variant
    error = lambda model, place: float(agent.error(model.params, jnp.int32(place)))  # noqa: E731
    for i in range(60):
        model, figures = fit(model, once.steps, jax.random.key(i))
    assert error(model, 1) < error(state.variant, 1) / 10 and float(figures["learn/loss_model"]) < 0.1
    assert error(model, 3) > 5 * error(model, 1)


def test_noveld_pays_a_gain_of_novelty_at_first_visits():
    agent, state, segment, (bonus, (model, _), _) = case("noveld")
    steps, params = segment.steps, state.variant[0].params
    e = lambda obs: np.sqrt([[agent.error(params, x) for x in row] for row in obs])  # noqa: E731
    gain = np.maximum(e(steps.next_obs) - 0.5 * e(steps.inputs.obs), 0) * (first_visits(segment) == 1)
    np.testing.assert_allclose(bonus, gain / gain.std(), rtol=1e-3, atol=1e-5)
    assert (gain > 0).any() and (np.asarray(bonus)[first_visits(segment) > 1] == 0).all()


def test_icm_pays_half_the_squared_forward_error():
    agent, state, segment, (bonus, _, _) = case("icm")
    steps, params = segment.steps, state.variant.params
    wanted = np.zeros((8, 2))
    for t, n in np.ndindex(8, 2):
        before, after = (
            agent.embed(params["phi"], steps.inputs.obs[t, n]),
            agent.embed(params["phi"], steps.next_obs[t, n]),
        )
        action = jax.nn.one_hot(steps.action[t, n], 2)
        wanted[t, n] = np.sum((agent.forward.apply(params["forward"], jnp.append(before, action)) - after) ** 2) / 2
    np.testing.assert_allclose(bonus, wanted / wanted.std(), rtol=1e-3)


def test_icm_learns_which_action_led_where():
    """In the ring the action is the difference of places: the inverse loss falls far below log 2."""
    agent, state, segment, _ = case("icm")
    fit, model = jax.jit(agent.fitted), state.variant
    for i in range(300):
        model, figures = fit(model, segment.steps, jax.random.key(i))
    assert figures["learn/loss_inverse"] < 0.1 and figures["learn/loss_forward"] < 0.1


def test_the_features_of_icm_learn_from_the_inverse_model_alone():
    agent, state, segment, _ = case("icm")
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), segment.steps)
    params = state.variant.params
    forward = jax.grad(lambda p: replace(agent, forward_weight=1.0).model_loss(p, rows)[0])(params)
    inverse = jax.grad(lambda p: replace(agent, forward_weight=0.0).model_loss(p, rows)[0])(params)
    size = lambda tree: sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))  # noqa: E731
    assert size(forward["phi"]) == 0 < size(forward["forward"]) and size(inverse["phi"]) > 0


def test_icm_takes_real_actions():
    env = envs.make("point/sparse")
    agent = ICM(**TINY, **MODEL).bind(env.spec)
    state = agent.init(jax.random.key(0))
    bonus, _, figures = agent.bonus(state.variant, played(agent, env, state), jax.random.key(0))
    assert np.all(bonus > 0) and figures["learn/loss_inverse"] > 0


def test_ride_pays_the_change_by_the_root_of_the_visits():
    agent, state, segment, (bonus, _, _) = case("ride")
    steps, params = segment.steps, state.variant[0].params
    phi = lambda obs: np.asarray(jax.vmap(jax.vmap(lambda o: agent.embed(params["phi"], o)))(obs))  # noqa: E731
    change = np.linalg.norm(phi(steps.next_obs) - phi(steps.inputs.obs), axis=-1) / np.sqrt(first_visits(segment))
    np.testing.assert_allclose(bonus, change / change.std(), rtol=1e-3, atol=1e-5)
    stayed = np.asarray(steps.next_obs == steps.inputs.obs)
    assert (np.asarray(bonus)[stayed] == 0).all() and stayed.any()


@cache
def plain():
    """The run of PPO alone."""
    made = program(PPO(**TINY), Ring())
    return made.advance(made.init(), 0, 64, 10**6)[0]


SLOW = [n if n in ("count", "noveld") else pytest.param(n, marks=pytest.mark.slow) for n in EXPLORERS]


@pytest.mark.parametrize("name", SLOW)
def test_without_weight_it_is_ppo_bit_for_bit(name):
    wanted = plain()
    made = program(replace(EXPLORERS[name], beta=0.0), Ring())
    run, _, figures = made.advance(made.init(), 0, 64, 10**6)
    assert same(run.agent.params, wanted.agent.params) and same(run.streams, wanted.streams)
    assert figures["bonus/mean"] > 0 and figures["bonus/weight"] == 0


def test_the_weight_falls():
    agent, state, segment, (bonus, *_) = case("count")
    agent = replace(agent, beta=0.5, beta_steps=100)
    for steps, weight in ((0, 0.5), (25, 0.375), (200, 0.0)):
        now = state.replace(steps=jnp.int32(steps))
        reward, _, figures = agent.rewards(now, segment, jax.random.key(0))
        np.testing.assert_allclose(reward, segment.steps.reward + weight * bonus, rtol=1e-6)
        assert figures["bonus/weight"] == pytest.approx(weight)


def test_a_variant_must_say_its_bonus():
    agent, state, segment, _ = case("count")
    with pytest.raises(NotImplementedError):
        Explorer(**TINY).bind(Ring().spec).rewards(state, segment, jax.random.key(0))
