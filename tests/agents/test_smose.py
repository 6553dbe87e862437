"""SMoSE: auxiliary losses and gradients in numbers, the law that it ships, and that one expert is a linear SAC."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents import SAC, Player, Smose
from prospect_rl.agents.api import Box, Discrete, Spec
from prospect_rl.agents.online.smose import balance, sizes
from prospect_rl.agents.online.smose.coefficients import policy_of, read
from prospect_rl.agents.online.smose.names import names_of
from prospect_rl.agents.online.smose.network import linear, squash, top_one
from prospect_rl.agents.online.smose.policy import act_linear, act_trained, law_of, probabilities, route
from prospect_rl.experiments.cli.export import export_run
from prospect_rl.experiments.run import players
from tests.agents.off_policy import SPEC, batch, return_on_target, updated
from tests.agents.players import REACH_SPEC, observations, untrained

Z = jnp.array([[1, 0, -1], [0.5, 0.4, 0], [0, 2, 1], [-1, 0, 0.2]])
NOISE = jnp.array([0.1, -0.2, 0.3])


def small(**fields):
    agent = Smose(**({"experts": 3, "hidden": (8,), "capacity": 32, "batch_size": 8} | fields)).bind(SPEC)
    return agent, agent.begin(jax.random.key(0))


# --- the auxiliary losses ------------------------------------------------------------------------------


def test_auxiliary_losses_in_numbers():
    noisy = Z + NOISE
    np.testing.assert_allclose(balance.importance(noisy), [1.35380, 1.31133, 1.33487], atol=6e-6)
    np.testing.assert_allclose(balance.load(Z, noisy), [0.76418, 1.06729, 0.22819], atol=6e-6)
    assert balance.squared_variation(balance.importance(noisy)) == pytest.approx(0.000254633, rel=2e-3)
    assert balance.squared_variation(balance.load(Z, noisy)) == pytest.approx(0.383029, abs=1e-6)
    assert balance.importance_load(Z, noisy) == pytest.approx(0.191642, abs=1e-6)
    assert balance.z_official(Z, noisy) == pytest.approx(40.84530, rel=1e-6)
    assert balance.z(Z, noisy) == pytest.approx(2.779712, rel=1e-6)


def test_auxiliary_losses_of_balanced_and_of_permuted_experts():
    noisy = Z + NOISE
    assert jnp.sum(balance.importance(noisy)) == pytest.approx(len(Z))
    equal = jnp.ones((4, 3))
    assert balance.importance_load(equal, equal) == pytest.approx(0, abs=1e-12)
    assert jnp.all(balance.load(Z, Z)[jnp.argmax(Z[:1])] >= 0.5)
    order = jnp.array([2, 0, 1])
    for loss in balance.LOSSES.values():
        assert loss(Z[:, order], noisy[:, order]) == pytest.approx(float(loss(Z, noisy)), rel=1e-6)


def test_usage_in_numbers():
    """The winners are experts 0, 0, 1, 2: shares of a half and two quarters."""
    figures = balance.usage(Z)
    assert figures["learn/usage_entropy"] == pytest.approx(1.5 * np.log(2))
    assert figures["learn/experts_used"] == 3
    assert figures["learn/gate"] == pytest.approx(float(np.mean(np.max(jax.nn.softmax(Z), axis=1))))


# --- gradients -----------------------------------------------------------------------------------------


def test_the_gradient_of_the_winning_probability():
    """p (1 - p) to the winner's logit and -p p_j to the others'."""
    p = np.asarray(jax.nn.softmax(Z[0]))
    slope = jax.grad(lambda z: top_one(z)[1])(Z[0])
    np.testing.assert_allclose(slope, [p[0] * (1 - p[0]), -p[0] * p[1], -p[0] * p[2]], rtol=1e-6)


def test_log_deviations_lie_within_their_bounds():
    np.testing.assert_allclose(squash(jnp.array([-1e9, 0.0, 1e9])), [-5, -1.5, 2])


def slopes(agent, learner, weight):
    """The gradient of the actor's loss by part."""
    data = batch()
    agent = dataclasses.replace(agent, w_aux=weight)
    loss = lambda actor: agent.actor_loss(actor, learner.critics, jnp.float32(0.2), data, jax.random.key(1))[0]  # noqa: E731
    return jax.grad(loss)(learner.actor)["params"]


def test_the_gate_is_the_only_path_to_the_router():
    for gate in (True, False):
        agent, learner = small(gate=gate)
        router = slopes(agent, learner, 0.0)["router"]
        assert all(jnp.any(x != 0) for x in router.values()) == gate
        assert gate or all(jnp.all(x == 0) for x in router.values())
    assert jnp.any(slopes(agent, learner, 0.1)["router"]["bias"] != 0), "only the auxiliary loss reaches it"


def test_other_experts_have_no_gradient_and_no_effect():
    agent, learner = small()
    learner.actor["params"]["router"]["bias"] += jnp.array([0.0, 50.0, 0.0])
    found = slopes(agent, learner, 0.1)
    for name in ("mean", "log_std"):
        kernel = found[name]["kernel"].reshape(3, 3, 2)
        assert jnp.all(kernel[:, (0, 2)] == 0) and jnp.all(kernel[:, 1] != 0)
    before = agent.distribution(learner.actor, batch().obs)
    for name in ("mean", "log_std"):
        bias = learner.actor["params"][name]["bias"]
        learner.actor["params"][name]["bias"] = bias + jnp.array([7.0, 7.0, 0.0, 0.0, -3.0, 9.0])
    jax.tree.map(np.testing.assert_array_equal, before, agent.distribution(learner.actor, batch().obs))


# --- updates -------------------------------------------------------------------------------------------


class LinearActor(nn.Module):
    """Mean and log standard deviation, linear in the observation, squashed as SMoSE's."""

    size: int

    @nn.compact
    def __call__(self, obs):
        mean, log_std = (linear(self.size, obs.shape[-1], name)(obs) for name in ("mean", "log_std"))
        return mean, squash(log_std)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearSAC(SAC):
    """SAC with a linear actor, the temperature's loss of SMoSE, and its draws."""

    @property
    def actor_network(self):
        """The linear policy."""
        return LinearActor(self.sizes[1])

    alpha_loss = Smose.alpha_loss

    def actor_loss(self, actor, critics, alpha, batch, key):
        """SAC's, by the half of the key that SMoSE does not use for its router."""
        return super().actor_loss(actor, critics, alpha, batch, jax.random.split(key)[0])


def test_one_expert_is_a_linear_sac():
    agent, learner = small(experts=1)
    sac = LinearSAC(hidden=(8,), capacity=32, batch_size=8, critic_learning_rate=1e-3, actor_delay=2).bind(SPEC)
    theirs = jax.jit(sac.begin)(jax.random.key(0))
    actor = {"params": {name: learner.actor["params"][name] for name in ("mean", "log_std")}}
    runs = updated(agent, learner, 20), updated(sac, theirs.replace(actor=actor, critics=learner.critics,
                                                                   target_critics=learner.critics), 20)  # fmt: skip
    for (_, mine), (_, other) in zip(*runs, strict=True):
        assert mine["learn/loss_aux"] == 0 and mine["learn/gate"] == 1
        for name in other:
            assert mine[name] == pytest.approx(float(other[name]), rel=1e-5, abs=1e-5), name


def test_the_actor_waits_and_then_catches_up():
    """Two updates of it at the first, third, ... of the critics; its figures stay in between; targets always move."""
    agent, learner = small()
    counts = []
    for now, figures in updated(agent, learner, 4):
        counts.append(int(now.actor_optimiser[0].count))
        assert figures["learn/loss_actor"] == now.figures["learn/loss_actor"] != 0
        assert jax.tree.leaves(now.target_critics)[0].sum() != jax.tree.leaves(learner.target_critics)[0].sum()
        learner = now
    assert counts == [2, 2, 4, 4] and int(learner.alpha_optimiser[0].count) == 4


def test_without_delay_the_state_of_sac_has_no_new_leaf():
    agent = SAC(hidden=(8,), capacity=32).bind(SPEC)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    assert state.learner.figures is None
    assert not [path for path, _ in jax.tree_util.tree_leaves_with_path(state) if "figures" in str(path)]


@pytest.mark.parametrize("fields", [{"aux": "z"}, {"aux": "z_official"}, {"aux": "none"}, {"router_noise": "sample"}],
                         ids=str)  # fmt: skip
def test_every_variant_has_finite_gradients(fields):
    agent, learner = small(**fields)
    figures = agent.actor_loss(learner.actor, learner.critics, jnp.ones(()), batch(), jax.random.key(1))[1][1]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((slopes(agent, learner, 0.1), figures)))
    assert (figures["learn/loss_aux"] == 0) == (fields.get("aux") == "none")


def test_a_permutation_of_experts_changes_nothing():
    player, order = shipped(), jnp.array([2, 0, 3, 1])
    law = player.agent.law(player.behaviour)
    mixed = dataclasses.replace(
        law, router_kernel=law.router_kernel[:, order], router_bias=law.router_bias[order],
        mean_kernel=law.mean_kernel[order], mean_bias=law.mean_bias[order],
    )  # fmt: skip
    for obs in batch().obs:
        for act in (act_trained, act_linear):
            np.testing.assert_allclose(act(mixed, obs), act(law, obs), atol=1e-6)


# --- sizes ---------------------------------------------------------------------------------------------

SIZES = {
    "walker2d": (17, 6, 1872, 1008, 252, 61, 1842, 12, 372, 73_484),
    "hopper": (11, 3, 672, 384, 132, 37, 672, 10, 186, 70_406),
    "ant": (27, 8, 3808, 2016, 448, 86, 3800, 16, 720, 77_072),
    "reacher": (11, 2, 480, 288, 120, 30, 484, 9, 148, 69_892),
    "swimmer": (8, 2, 360, 216, 90, 27, 355, 8, 108, 69_124),
}
"""Robot (v4) -> observations, actions, parameters of all, of router and means, of router and one mean; width and
parameters of SAC-M and SAC-S; parameters of SAC with 256 and 256 units."""


@pytest.mark.parametrize("name", SIZES)
def test_parameters_and_widths(name):
    obs, action, *wanted = SIZES[name]
    spec = Spec("test/sizes", Box((obs,)), Box((action,), -1.0, 1.0), horizon=9)
    counts, m, s = sizes.parameters(obs, action), sizes.medium_width(spec), sizes.small_width(spec)
    found = [counts["router and all experts"], counts["router and means"], counts["router and one mean"], m,
             sizes.gaussian_parameters(spec, m), s, sizes.gaussian_parameters(spec, s),
             sizes.gaussian_parameters(spec, 256, 256)]  # fmt: skip
    assert found == wanted
    for agent, count in ((Smose(), wanted[0]), (SAC(actor_hidden=(s,)), wanted[6])):
        params = jax.eval_shape(agent.bind(spec).actor_network.init, jax.random.key(0), jnp.zeros(obs))
        assert sum(x.size for x in jax.tree.leaves(params)) == count


def test_actor_hidden_leaves_the_critics_alone():
    agent = SAC(hidden=(8, 7), actor_hidden=(5,)).bind(SPEC)
    learner = jax.eval_shape(agent.begin, jax.random.key(0))
    widths = [[layer["bias"].size for layer in tree["params"].values()] for tree in learner.critics]
    assert widths == [[8, 7, 1]] * 2
    assert [x.size for x in jax.tree.leaves(learner.actor)] == [5, 15, 4, 20]


# --- what it ships -------------------------------------------------------------------------------------


def shipped(**fields):
    return untrained(Smose(experts=4, hidden=(8,), **fields), REACH_SPEC.obs, REACH_SPEC.action)


@pytest.mark.parametrize("gate", [True, False])
def test_player_law_numpy_and_json_act_alike(gate):
    player = shipped(gate=gate)
    linear_player = Player(player.agent, player.agent.readings(player.behaviour)["linear"])
    facts = json.loads(json.dumps(player.agent.to_json(player.behaviour)))
    law, winners = player.agent.law(player.behaviour), set()
    for reading, who, act in (("trained", player, act_trained), ("linear", linear_player, act_linear)):
        numpy, from_json = who.to_numpy(), policy_of(facts, reading)
        for obs in observations(player.spec.obs, 30):
            wanted = who(obs)
            np.testing.assert_allclose(act(law, jnp.asarray(obs)), wanted, atol=1e-6)
            np.testing.assert_allclose(numpy(obs), wanted, atol=1e-6)
            np.testing.assert_array_equal(numpy(obs), from_json(obs))
            winners.add(int(route(law, jnp.asarray(obs))[0]))
    assert len(winners) > 1, "the router must choose, or the comparison says little"


def test_json_is_exact():
    player = shipped()
    law = player.agent.law(player.behaviour)
    facts = json.loads(json.dumps(player.agent.to_json(player.behaviour), allow_nan=False))
    jax.tree.map(np.testing.assert_array_equal, read(facts), law)
    assert jax.tree.structure(read(facts)) == jax.tree.structure(law)
    assert facts["router"][0]["weights"].keys() == {"obs 0", "obs 1", "obs 2"}
    with pytest.raises(ValueError, match="this is no law as prospect export --json writes it"):
        read({"router": []})
    broken = player.behaviour.replace(actor=jax.tree.map(lambda x: x * jnp.nan, player.behaviour.actor))
    with pytest.raises(ValueError, match="the law of this Smose has coefficients that are not finite numbers"):
        player.agent.to_json(broken)


def test_prospect_export_writes_it(tmp_path):
    """Of a player's folder, as of a run; what it says is in the file, and an agent without a law is one line."""
    player, file = shipped(), tmp_path / "deep" / "law.json"
    players.write(player, tmp_path / "player")
    assert export_run([str(tmp_path / "player"), "--json", str(file)]) == 0
    facts = json.loads(file.read_text())
    jax.tree.map(np.testing.assert_array_equal, read(facts), player.agent.law(player.behaviour))
    players.write(untrained(SAC(hidden=(4,)), REACH_SPEC.obs, REACH_SPEC.action), tmp_path / "sac")
    with pytest.raises(ValueError, match="the policy of SAC has no coefficients: it is not made of linear laws"):
        export_run([str(tmp_path / "sac"), "--json", str(tmp_path / "none.json")])
    assert not (tmp_path / "none.json").exists()


def test_a_law_by_hand():
    """Two experts, one observation: 2 s + 1 where s > 0, else -s; p = 1 / (1 + exp(-2 |s|))."""
    law = law_of({"params": {
        "router": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.zeros(2)},
        "mean": {"kernel": jnp.array([[2.0, -1.0]]), "bias": jnp.array([1.0, 0.0])},
    }}, Box((1,), 0.0, 4.0))  # fmt: skip
    for s, expert, mean in ((0.25, 0, 1.5), (-0.5, 1, 0.5)):
        obs, p = jnp.array([s]), 1 / (1 + np.exp(-2 * abs(s)))
        found, probability = route(law, obs)
        assert found == expert and probability == pytest.approx(p) == float(jnp.max(probabilities(law, obs)))
        assert act_trained(law, obs)[0] == pytest.approx(2 + 2 * np.tanh(p * mean))
        assert act_linear(law, obs)[0] == pytest.approx(2 + 2 * min(mean, 1))
        other = act_trained(law, obs, 1 - expert)[0]
        assert other == pytest.approx(2 + 2 * np.tanh((1 - p) * ((2 * s + 1, -s)[1 - expert])))


ROBOTS = ("half_cheetah", "hopper", "walker2d", "ant", "swimmer", "reacher")


@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("version", ["v4", "v5"])
def test_robots_have_names(robot, version):
    spec = envs.make(f"mujoco/{robot}", version=version).spec
    features, actions = names_of(spec)
    assert (
        len(features) == len(set(features)) == spec.obs.size and len(actions) == len(set(actions)) == spec.action.size
    )
    assert not [name for name in (*features, *actions) if name.startswith(("obs", "action"))]
    known = {"reacher": "target x", "ant": "orientation w"}.get(robot, "speed x")
    assert known in features


# --- one line each -------------------------------------------------------------------------------------


def test_refusals_and_notices():
    with pytest.raises(ValueError, match="^experts must be at least 1, not 0$"):
        agents.make("smose", experts=0)
    with pytest.raises(ValueError, match="^experts must be at most the 4 rows of a batch, not 5$"):
        agents.make("smose", experts=5, batch_size=4)
    with pytest.raises(ValueError, match="its actions are discrete: smose_ppo has the same experts for these"):
        Smose().bind(dataclasses.replace(SPEC, action=Discrete(3)))
    with pytest.raises(ValueError, match="actor_delay must be 1, not 2: CQL updates everything every time"):
        agents.make("cql", actor_delay=2)
    assert "one expert alone" in Smose().notices({"learn/experts_used": 1.0})[0]
    assert not Smose().notices({"learn/experts_used": 0.0}) and not Smose(experts=1).notices(
        {"learn/experts_used": 1.0}
    )
    player = untrained(SAC(hidden=(4,)), REACH_SPEC.obs, REACH_SPEC.action)
    with pytest.raises(ValueError, match="the policy of SAC has no coefficients: it is not made of linear laws"):
        player.agent.to_json(player.behaviour)


@pytest.mark.slow
def test_it_learns():
    agent = Smose(
        hidden=(16,), learning_starts=200, num_envs=4, batch_size=32, actor_learning_rate=5e-3,
        critic_learning_rate=5e-3, tau=0.05, capacity=2000, alpha=0.01, tune_alpha=False,
    )  # fmt: skip
    assert return_on_target(agent) > -0.02
