"""SMoSE's update in eager PyTorch, from the equations in docs/methods/smose.md: reference of the bench `smose_loop`.

As in the code that its authors released, every expert is a layer of its own, all are evaluated, and a sparse vector of
probabilities weighs them. A `Learner` imports torch when it is created. Shapes: B rows of a batch, M experts, O
observation and A action components; a batch has the fields of `agents.ops.replay.Experience` as tensors.
"""

from __future__ import annotations

import copy
import math
from importlib import import_module
from typing import Any

from prospect_rl.agents.online.smose.network import LOG_STD
from prospect_rl.agents.online.smose.smose import Smose

TINY = 1e-6
"""Added within the logarithm of the tanh's slope."""


class Learner:
    """Networks and optimisers with the settings of one of our agents (bound)."""

    def __init__(self, agent: Smose) -> None:
        self.torch, self.agent = import_module("torch"), agent
        nn, (obs, action) = self.torch.nn, agent.sizes
        self.router = nn.Linear(obs, agent.experts)
        self.mean, self.log_std = (nn.ModuleList(nn.Linear(obs, action) for _ in range(agent.experts)) for _ in "ms")
        self.twins = nn.ModuleList(self.critic(obs + action) for _ in range(2))
        self.target_twins, self.log_alpha = copy.deepcopy(self.twins), self.torch.zeros((), requires_grad=True)
        actor = nn.ModuleList([self.router, self.mean, self.log_std])
        adam = self.torch.optim.Adam
        self.of_actor = adam(actor.parameters(), agent.actor_learning_rate)
        self.of_twins = adam(self.twins.parameters(), agent.critic_learning_rate)
        self.of_alpha, self.updates = adam([self.log_alpha], agent.critic_learning_rate), 0

    def critic(self, inputs: int) -> Any:
        """A critic with hidden ReLU layers."""
        nn, layers = self.torch.nn, []
        for width in self.agent.hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, 1))

    def values(self, critics: Any, obs: Any, action: Any) -> Any:
        """The lower of both critics' values [B]."""
        pair = self.torch.cat([obs, action], 1)
        return self.torch.minimum(*(critic(pair)[:, 0] for critic in critics))

    def sampled(self, obs: Any, noise: Any, shift: Any = None) -> tuple[Any, Any, Any]:
        """(actions [B, A], log pi [B], the auxiliary loss or None). shift [M]: noise of the router."""
        torch, logits, aux = self.torch, self.router(obs), None
        if shift is not None:
            aux, logits = self.auxiliary(logits, logits + shift), logits + shift
        p, first = logits.softmax(-1).max(-1, keepdim=True)
        weights = torch.zeros_like(logits).scatter(1, first, p)[..., None]
        mean, raw = (
            (torch.stack([expert(obs) for expert in experts], 1) * weights).sum(1)
            for experts in (self.mean, self.log_std)
        )
        low, high = LOG_STD
        log_std = low + (high - low) / 2 * (raw.tanh() + 1)
        action = (mean + log_std.exp() * noise).tanh()
        each = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi) - (1 - action**2 + TINY).log()
        return action, each.sum(1), aux

    def auxiliary(self, logits: Any, noisy: Any) -> Any:
        """Half the squared variation of importance, and half that of load."""
        importance, threshold = noisy.softmax(-1).sum(0), noisy.max(-1, keepdim=True).values
        load = self.torch.special.ndtr((logits - threshold) * self.agent.experts).sum(0)
        return sum((x.std() / x.mean()) ** 2 for x in (importance, load)) / 2

    def update(self, batch: Any, drawn: dict[str, Any]) -> dict[str, Any]:
        """Update once; returns the losses.

        drawn: `next` [B, A]; `shift` [2, M], `action` and `alpha` [2, B, A] of the actor's steps; all standard normal,
        but `shift`, which has deviation 1 / M.
        """
        a, torch = self.agent, self.torch
        with torch.no_grad():
            action, log_prob, _ = self.sampled(batch.next_obs, drawn["next"])
            value = self.values(self.target_twins, batch.next_obs, action) - self.log_alpha.exp() * log_prob
            target = batch.reward + a.gamma * (1 - batch.terminated) * value
        pair = torch.cat([batch.obs, batch.action], 1)
        loss = sum(((critic(pair)[:, 0] - target) ** 2).mean() for critic in self.twins)
        self.step(self.of_twins, loss)
        losses = {"learn/loss_critic": loss / 2}
        if self.updates % a.actor_delay == 0:
            for i in range(a.actor_delay):
                losses |= self.improve_actor(batch.obs, *(drawn[name][i] for name in ("shift", "action", "alpha")))
        self.updates += 1
        with torch.no_grad():
            for new, old in zip(self.twins.parameters(), self.target_twins.parameters(), strict=True):
                old.lerp_(new, a.tau)
        return losses

    def improve_actor(self, obs: Any, shift: Any, noise: Any, again: Any) -> dict[str, Any]:
        """One step of the actor, and one of the temperature on new actions."""
        action, log_prob, aux = self.sampled(obs, noise, shift)
        loss = (self.log_alpha.exp().item() * log_prob - self.values(self.twins, obs, action)).mean()
        self.step(self.of_actor, loss + self.agent.w_aux * aux)
        with self.torch.no_grad():
            _, log_prob, _ = self.sampled(obs, again)
        self.step(self.of_alpha, -(self.log_alpha.exp() * (log_prob - noise.shape[1])).mean())
        return {"learn/loss_actor": loss, "learn/loss_aux": aux}

    def step(self, optimiser: Any, loss: Any) -> None:
        """One optimiser step on a loss."""
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
