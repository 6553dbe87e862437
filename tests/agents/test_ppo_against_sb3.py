"""PPO against stable-baselines3: the same weights and minibatches give the same losses and weights.

Advantages are not normalised (torch's deviation divides by n - 1, ours by n). Needs the extra `sb3`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.online.ppo import PPO
from prospect_rl.agents.online.ppo_data import Rows
from prospect_rl.agents.ops.distributions import Categorical, Gaussian
from prospect_rl.agents.ops.returns import advantages
from prospect_rl.envs.api import Box, Discrete, Spec

gymnasium = pytest.importorskip("gymnasium")
torch = pytest.importorskip("torch", reason="the extra sb3 is not installed")
sb3 = pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

HIDDEN, SIZE, UPDATES = (8, 6), 32, 4
ACTIONS = {
    "discrete": (Discrete(3), gymnasium.spaces.Discrete(3)),
    "continuous": (Box((2,), -1.0, 1.0), gymnasium.spaces.Box(-1, 1, (2,))),
}


def tensor(x):
    return torch.tensor(np.array(x))


def minibatch(agent, params, seed):
    """Rows whose old probabilities are a little off the present ones, so that some ratios are clipped."""
    k_obs, k_choice, k_old, k_value, k_advantage, k_target = jax.random.split(jax.random.key(seed), 6)
    obs, normal = jax.random.normal(k_obs, (SIZE, 3)), lambda key: jax.random.normal(key, (SIZE,))  # noqa: E731
    _, outputs, _ = jax.vmap(agent.outputs, (None, None, 0))(params, (), obs)
    policy = agent.policy(params, outputs)
    assert isinstance(policy, Categorical | Gaussian)
    choice = policy.sample(k_choice)
    old = policy.log_prob(choice) + 0.2 * normal(k_old)
    return Rows(obs, jnp.zeros(SIZE, bool), choice, old, normal(k_value), normal(k_advantage), normal(k_target))


def model_for(space):
    class Still(gymnasium.Env):
        """Spaces are all that is asked of it."""

        observation_space = gymnasium.spaces.Box(-1, 1, (3,))
        action_space = space

    model = sb3.PPO(
        "MlpPolicy", Still(), learning_rate=3e-3, n_epochs=1, ent_coef=0.02, normalize_advantage=False,
        policy_kwargs={"net_arch": list(HIDDEN)},
    )  # fmt: skip
    model.set_logger(sb3.common.logger.configure(None, []))
    model.rollout_buffer.values = model.rollout_buffer.returns = np.zeros(1)
    return model


def pairs(model, params):
    """(torch's Linear, our layer) of both networks."""
    nets, ours = model.policy, params["params"]
    for trunk, last, name in (
        (nets.mlp_extractor.policy_net, nets.action_net, "policy"),
        (nets.mlp_extractor.value_net, nets.value_net, "value"),
    ):
        linears = [*(module for module in trunk if isinstance(module, torch.nn.Linear)), last]
        yield from zip(linears, (ours[name][f"Dense_{i}"] for i in range(3)), strict=True)


@pytest.mark.parametrize("kind", ACTIONS)
def test_updates(kind):
    """Four updates: losses, clipped shares, and all weights."""
    ours, theirs = ACTIONS[kind]
    spec = Spec(id="test/small", obs=Box((3,)), action=ours, horizon=5)
    agent = PPO(hidden=HIDDEN, entropy=0.02, normalise_advantage="none").bind(spec)
    params, model = agent.init(jax.random.key(0)).params, model_for(theirs)
    with torch.no_grad():
        for linear, layer in pairs(model, params):
            linear.weight.copy_(tensor(layer["kernel"]).T)
            linear.bias.copy_(tensor(layer["bias"]))
    learner, clipped = (params, agent.optimiser.init(params)), 0.0
    for i in range(UPDATES):
        rows = minibatch(agent, learner[0], i)
        fields = (rows.obs, rows.choice, rows.value, rows.log_prob, rows.advantage, rows.target)
        samples = sb3.common.type_aliases.RolloutBufferSamples(*map(tensor, fields))
        model.rollout_buffer.get = lambda size, samples=samples: iter([samples])
        model.train()
        learner, figures = jax.jit(agent.update)(learner, (), rows, jnp.float32(3e-3))
        for theirs, name in (
            ("policy_gradient_loss", "loss_policy"), ("value_loss", "loss_value"), ("clip_fraction", "clipped"),
            ("approx_kl", "kl"),
        ):  # fmt: skip
            wanted = pytest.approx(float(figures[f"learn/{name}"]), rel=1e-4, abs=1e-6)
            assert model.logger.name_to_value[f"train/{theirs}"] == wanted, name
        assert model.logger.name_to_value["train/entropy_loss"] == pytest.approx(
            -float(figures["learn/entropy"]), rel=1e-5
        )
        clipped += float(figures["learn/clipped"])
    assert clipped > 0.2
    for linear, layer in pairs(model, learner[0]):
        np.testing.assert_allclose(linear.weight.detach().numpy().T, layer["kernel"], atol=5e-6)
        np.testing.assert_allclose(linear.bias.detach().numpy(), layer["bias"], atol=5e-6)
    if kind == "continuous":
        np.testing.assert_allclose(model.policy.log_std.detach(), learner[0]["params"]["log_std"], atol=5e-6)


def test_advantages():
    """SB3 bootstraps a time limit by adding gamma V to its reward, and knows one flag alone."""
    draw, (steps, streams) = np.random.default_rng(0), (20, 3)
    reward, value = draw.normal(size=(2, steps, streams)).astype(np.float32)
    final = draw.normal(size=(steps, streams)).astype(np.float32)
    terminated, truncated = draw.random((2, steps, streams)) < 0.1
    truncated &= ~terminated
    ended, last = terminated | truncated, draw.normal(size=streams).astype(np.float32)
    after = np.where(ended, final, np.concatenate([value[1:], last[None]]))
    ours = advantages(*map(jnp.asarray, (reward, value, after, terminated, truncated)), gamma=0.97, lam=0.9)
    box = gymnasium.spaces.Box(-1, 1, (3,))
    buffer = sb3.common.buffers.RolloutBuffer(steps, box, box, gae_lambda=0.9, gamma=0.97, n_envs=streams)
    buffer.rewards, buffer.values = reward + 0.97 * final * truncated, value
    buffer.episode_starts = np.concatenate([np.ones((1, streams)), ended[:-1]]).astype(np.float32)
    buffer.compute_returns_and_advantage(tensor(last), ended[-1].astype(np.float32))
    np.testing.assert_allclose(ours, buffer.advantages, atol=1e-5)
