"""TD3 and SAC against stable-baselines3: the same weights, batch and noise give the same losses and weights.

Needs the extra `sb3`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.agents.online.sac import SAC
from prospect_rl.agents.online.td3 import TD3
from prospect_rl.envs.api import Box, Spec
from tests.agents.off_policy import batch

gymnasium = pytest.importorskip("gymnasium")
torch = pytest.importorskip("torch", reason="the extra sb3 is not installed")
sb3 = pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

SPEC = Spec(id="test/small", obs=Box((3,), -1.0, 1.0), action=Box((2,), -1.0, 1.0), horizon=5)
HIDDEN, SIZE, UPDATES = (8, 6), 16, 4


class Still(gymnasium.Env):
    """Spaces are all that is asked of it."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Box(-1, 1, (2,))


def tensor(x):
    return torch.tensor(np.asarray(x))


def model_of(cls, **options):
    """An SB3 model that will be given our batches, one an update."""
    model = cls("MlpPolicy", Still(), policy_kwargs={"net_arch": list(HIDDEN)}, learning_rate=3e-4, **options)
    model.set_logger(sb3.common.logger.configure(None, []))
    drawn = iter(range(UPDATES))

    def sample(*args, **kwargs):
        data = batch(SIZE, next(drawn))
        fields = {"observations": data.obs, "actions": data.action, "next_observations": data.next_obs}
        columns = {"dones": data.terminated[:, None], "rewards": data.reward[:, None]}
        return sb3.common.type_aliases.ReplayBufferSamples(**{k: tensor(x) for k, x in (fields | columns).items()})

    model.replay_buffer.sample = sample
    return model


def write(linears, layers):
    """Our layers {kernel [in, out], bias [out]} into torch's Linear modules."""
    with torch.no_grad():
        for linear, layer in zip(linears, layers, strict=True):
            linear.weight.copy_(tensor(layer["kernel"]).T)
            linear.bias.copy_(tensor(layer["bias"]))


def check(linears, layers):
    for linear, layer in zip(linears, layers, strict=True):
        np.testing.assert_allclose(linear.weight.detach().numpy().T, layer["kernel"], atol=2e-6)
        np.testing.assert_allclose(linear.bias.detach().numpy(), layer["bias"], atol=2e-6)


def layers_of(params):
    return [params["params"][f"Dense_{i}"] for i in range(3)]


def linears_of(network):
    return [module for module in network.modules() if isinstance(module, torch.nn.Linear)]


def both_critics(act, critics, theirs):
    for i in range(2):
        act(linears_of(theirs.q_networks[i]), layers_of(critics[i]))


def train(agent, learner, model, key):
    """The last figures of ours and the logged ones of theirs, after as many updates."""
    for i in range(UPDATES):
        learner, figures = jax.jit(agent.update)(learner, batch(SIZE, i), jax.random.fold_in(key, i))
        model.train(gradient_steps=1, batch_size=SIZE)
        logged = model.logger.name_to_value
        assert logged["train/critic_loss"] == pytest.approx(float(figures["learn/loss_critic"]), rel=2e-5)
        if "train/actor_loss" in logged:
            assert logged["train/actor_loss"] == pytest.approx(float(figures["learn/loss_actor"]), rel=2e-5, abs=1e-6)
        model.logger.name_to_value.clear()
    return learner


def test_td3():
    agent = TD3(hidden=HIDDEN, policy_noise=0.0).bind(SPEC)
    learner = agent.begin(jax.random.key(0))
    model = model_of(sb3.TD3, target_policy_noise=0.0)
    for net, ours in ((model.actor, learner.actor), (model.actor_target, learner.target_actor)):
        write(linears_of(net), layers_of(ours))
    for net, ours in ((model.critic, learner.critics), (model.critic_target, learner.target_critics)):
        both_critics(write, ours, net)
    learner = train(agent, learner, model, jax.random.key(1))
    for net, ours in ((model.actor, learner.actor), (model.actor_target, learner.target_actor)):
        check(linears_of(net), layers_of(ours))
    for net, ours in ((model.critic, learner.critics), (model.critic_target, learner.target_critics)):
        both_critics(check, ours, net)


def heads(params):
    """Our last layer is SB3's two: mean, then log std."""
    *hidden, last = layers_of({"params": params["params"]["MLP_0"]})
    return [*hidden, *({name: x[..., at] for name, x in last.items()} for at in (slice(0, 2), slice(2, 4)))]


def test_sac(monkeypatch):
    """SB3 draws for the actor first, then for the target; it guards its logarithm with 1e-6, hence the tolerance."""
    agent = SAC(hidden=HIDDEN).bind(SPEC)
    learner, key = agent.begin(jax.random.key(0)), jax.random.key(1)
    noises = []
    for i in range(UPDATES):
        k_target, k_actor = jax.random.split(jax.random.fold_in(key, i))
        noises += [jax.random.normal(k, (SIZE, 2)) for k in (k_actor, k_target)]
    drawn = iter(noises)
    model = model_of(sb3.SAC)
    monkeypatch.setattr(torch.distributions.normal, "_standard_normal", lambda *a, **k: tensor(next(drawn)))
    write(linears_of(model.actor), heads(learner.actor))
    both_critics(write, learner.critics, model.critic)
    both_critics(write, learner.critics, model.critic_target)
    learner = train(agent, learner, model, key)
    check(linears_of(model.actor), heads(learner.actor))
    both_critics(check, learner.critics, model.critic)
    both_critics(check, learner.target_critics, model.critic_target)
    assert model.log_ent_coef.item() == pytest.approx(float(learner.log_alpha), abs=1e-6)
    assert jnp.isfinite(learner.log_alpha) and next(drawn, None) is None
