"""Updates of TD3+BC and IQL in eager PyTorch, from the equations in agents/online/td3.py and agents/offline/.

The reference of the bench `offline_update`, with the settings of our agents (bound). A learner imports torch when it
is created. Shapes: B rows of a batch, O observation and A action components; a batch has the fields of
`agents.ops.replay.Experience` as tensors.
"""

from __future__ import annotations

import copy
import math
from importlib import import_module
from typing import Any

from prospect_rl.agents.offline.base import STD_EPSILON
from prospect_rl.agents.offline.weighted import LOG_STD, MAX_WEIGHT


class Learner:
    """Networks, optimisers and target updates, shared by all algorithms; `smose_torch` has another."""

    def __init__(self, agent: Any) -> None:
        self.torch, self.agent = import_module("torch"), agent

    def network(self, inputs: int, outputs: int) -> Any:
        """A network with hidden ReLU layers and a linear output."""
        nn, layers = self.torch.nn, []
        for width in self.agent.hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, outputs))

    def critics(self) -> Any:
        """A pair of critics, each [B, O + A] -> [B, 1]."""
        return self.torch.nn.ModuleList(self.network(sum(self.agent.sizes), 1) for _ in range(2))

    def values(self, critics: Any, obs: Any, action: Any) -> list[Any]:
        """Values Q_i(s, a) [B] of each critic."""
        pair = self.torch.cat([obs, action], 1)
        return [critic(pair)[:, 0] for critic in critics]

    def adam(self, network: Any, rate: float | None = None) -> Any:
        """An Adam optimiser for a network, at the agent's only learning rate unless one is given."""
        return self.torch.optim.Adam(network.parameters(), self.agent.learning_rate if rate is None else rate)

    def follow(self, network: Any, target: Any) -> None:
        """Move a target network towards its network."""
        with self.torch.no_grad():
            for new, old in zip(network.parameters(), target.parameters(), strict=True):
                old.lerp_(new, self.agent.tau)


def step(optimiser: Any, loss: Any) -> None:
    """One optimiser step on a loss."""
    optimiser.zero_grad()
    loss.backward(inputs=[x for group in optimiser.param_groups for x in group["params"]])
    optimiser.step()


class TD3BC(Learner):
    """The updates of TD3+BC."""

    def __init__(self, agent: Any) -> None:
        super().__init__(agent)
        self.actor, self.twins = self.network(*agent.sizes), self.critics()
        self.target_actor, self.target_twins = copy.deepcopy(self.actor), copy.deepcopy(self.twins)
        self.of_actor, self.of_twins, self.updates = self.adam(self.actor), self.adam(self.twins), 0

    def update(self, batch: Any, noise: Any) -> dict[str, Any]:
        """Update once; returns the losses. noise [B, A]: standard normal."""
        a, torch = self.agent, self.torch
        with torch.no_grad():
            smoothing = (a.policy_noise * noise).clamp(-a.noise_clip, a.noise_clip)
            action = (self.target_actor(batch.next_obs).tanh() + smoothing).clamp(-1, 1)
            value = torch.minimum(*self.values(self.target_twins, batch.next_obs, action))
            target = batch.reward + a.gamma * (1 - batch.terminated) * value
        loss = sum(((q - target) ** 2).mean() for q in self.values(self.twins, batch.obs, batch.action))
        step(self.of_twins, loss)
        self.updates += 1
        if self.updates % a.policy_delay:
            return {"learn/loss_critic": loss}
        action = self.actor(batch.obs).tanh()
        q = self.values(self.twins[:1], batch.obs, action)[0]
        near = ((action - batch.action) ** 2).mean()
        actor_loss = near - a.alpha / (q.abs().mean().detach() + STD_EPSILON) * q.mean()
        step(self.of_actor, actor_loss)
        self.follow(self.actor, self.target_actor)
        self.follow(self.twins, self.target_twins)
        return {"learn/loss_critic": loss, "learn/loss_actor": actor_loss}


class IQL(Learner):
    """The updates of IQL, with a constant learning rate of the policy."""

    def __init__(self, agent: Any) -> None:
        super().__init__(agent)
        obs, action = agent.sizes
        self.actor, self.v, self.twins = self.network(obs, action), self.network(obs, 1), self.critics()
        self.target_twins = copy.deepcopy(self.twins)
        self.actor.log_std = self.torch.nn.Parameter(self.torch.zeros(action))
        self.optimisers = [self.adam(network) for network in (self.actor, self.v, self.twins)]

    def update(self, batch: Any, noise: Any) -> dict[str, Any]:
        """Update once; returns the losses. `noise` is not used."""
        a, torch = self.agent, self.torch
        value = self.v(batch.obs)[:, 0]
        with torch.no_grad():
            best = torch.minimum(*self.values(self.target_twins, batch.obs, batch.action))
            target = batch.reward + a.gamma * (1 - batch.terminated) * self.v(batch.next_obs)[:, 0]
        advantage = best - value
        loss_v = ((a.expectile - (advantage < 0).float()).abs() * advantage**2).mean()
        values = self.values(self.twins, batch.obs, batch.action)
        loss_q = sum(((q - target) ** 2).mean() for q in values) / 2
        log_std = self.actor.log_std.clamp(*LOG_STD)
        error = (batch.action - self.actor(batch.obs).tanh()) * (-log_std).exp()
        log_pi = (-0.5 * error**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
        loss_pi = -((a.beta * advantage.detach()).exp().clamp(max=MAX_WEIGHT) * log_pi).mean()
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        (loss_v + loss_q + loss_pi).backward()
        for optimiser in self.optimisers:
            optimiser.step()
        self.follow(self.twins, self.target_twins)
        return {"learn/loss_v": loss_v, "learn/loss_critic": loss_q, "learn/loss_actor": loss_pi}


LEARNERS = {"iql": IQL, "td3_bc": TD3BC}
"""Registered name of the agent -> learner."""
