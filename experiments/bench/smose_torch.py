"""SMoSE's update in eager PyTorch, from the equations in docs/methods/smose.md: reference of the bench `smose_loop`.

As in the code that its authors released, every expert is a layer of its own, all are evaluated, and a sparse vector of
probabilities weighs them; gradients are computed where an optimiser uses them. A `Learner` imports torch when it is
created. Shapes: B rows of a batch, M experts, A action components; a batch has the fields of
`agents.ops.replay.Experience` as tensors.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from prospect_rl.agents.online.smose.network import LOG_STD
from prospect_rl.agents.online.smose.smose import Smose
from prospect_rl.experiments.bench import offline_torch
from prospect_rl.experiments.bench.offline_torch import step

TINY = 1e-6
"""Added within the logarithm of the tanh's slope."""
Normal = Callable[..., Any]
"""Standard normal numbers of the given shape."""


class Learner(offline_torch.Learner):
    """The update of SMoSE, with `router_noise` batch and the auxiliary loss of importance and load."""

    def __init__(self, agent: Smose) -> None:
        super().__init__(agent)
        nn, (obs, action) = self.torch.nn, agent.sizes
        self.router = nn.Linear(obs, agent.experts)
        self.mean, self.log_std = (nn.ModuleList(nn.Linear(obs, action) for _ in range(agent.experts)) for _ in "ms")
        self.actor, self.twins = nn.ModuleList([self.router, self.mean, self.log_std]), self.critics()
        self.target_twins, self.temperature = copy.deepcopy(self.twins), nn.ParameterList([self.torch.zeros(())])
        self.of_actor = self.adam(self.actor, agent.actor_learning_rate)
        self.of_twins, self.of_alpha = (
            self.adam(part, agent.critic_learning_rate) for part in (self.twins, self.temperature)
        )
        self.updates = 0

    @property
    def log_alpha(self) -> Any:
        """[] logarithm of the temperature."""
        return self.temperature[0]

    def lower(self, critics: Any, obs: Any, action: Any) -> Any:
        """The lower of both critics' values [B]."""
        return self.torch.minimum(*self.values(critics, obs, action))

    def sampled(self, logits: Any, obs: Any, noise: Any) -> tuple[Any, Any]:
        """(actions [B, A], log pi [B]) by the router's logits [B, M] and noise [B, A]."""
        p, first = logits.softmax(-1).max(-1, keepdim=True)
        weights = self.torch.zeros_like(logits).scatter(1, first, p)[..., None]
        mean, raw = (
            (self.torch.stack([expert(obs) for expert in experts], 1) * weights).sum(1)
            for experts in (self.mean, self.log_std)
        )
        low, high = LOG_STD
        log_std = low + (high - low) / 2 * (raw.tanh() + 1)
        action = (mean + log_std.exp() * noise).tanh()
        each = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi) - (1 - action**2 + TINY).log()
        return action, each.sum(1)

    def auxiliary(self, logits: Any, noisy: Any) -> Any:
        """Half the squared variation of importance, and half that of load."""
        importance, threshold = noisy.softmax(-1).sum(0), noisy.max(-1, keepdim=True).values
        load = self.torch.special.ndtr((logits - threshold) * self.agent.experts).sum(0)
        return sum((x.std() / x.mean()) ** 2 for x in (importance, load)) / 2

    def update(self, batch: Any, normal: Normal) -> dict[str, Any]:
        """Update once; returns the losses. `normal` is asked for [B, A], then, by a step of the actor, as there."""
        a = self.agent
        with self.torch.no_grad():
            noise = normal(*batch.action.shape)
            action, log_prob = self.sampled(self.router(batch.next_obs), batch.next_obs, noise)
            value = self.lower(self.target_twins, batch.next_obs, action) - self.log_alpha.exp() * log_prob
            target = batch.reward + a.gamma * (1 - batch.terminated) * value
        loss = sum(((q - target) ** 2).mean() for q in self.values(self.twins, batch.obs, batch.action))
        step(self.of_twins, loss)
        losses = {"learn/loss_critic": loss / 2}
        if self.updates % a.actor_delay == 0:
            for _ in range(a.actor_delay):
                losses |= self.improve_actor(batch.obs, normal)
        self.updates += 1
        self.follow(self.twins, self.target_twins)
        return losses

    def improve_actor(self, obs: Any, normal: Normal) -> dict[str, Any]:
        """One step of the actor, and one of the temperature on new actions.

        `normal` is asked for the router's noise [M], those of the actor's actions and of the new ones [B, A].
        """
        a, shape = self.agent, (len(obs), self.agent.sizes[1])
        logits = self.router(obs)
        noisy = logits + normal(a.experts) / a.experts
        action, log_prob = self.sampled(noisy, obs, normal(*shape))
        aux = self.auxiliary(logits, noisy)
        loss = (self.log_alpha.exp().item() * log_prob - self.lower(self.twins, obs, action)).mean()
        step(self.of_actor, loss + a.w_aux * aux)
        with self.torch.no_grad():
            _, log_prob = self.sampled(self.router(obs), obs, normal(*shape))
        step(self.of_alpha, -(self.log_alpha.exp() * (log_prob - shape[1])).mean())
        return {"learn/loss_actor": loss, "learn/loss_aux": aux}
