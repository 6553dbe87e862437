"""CDE's update in eager PyTorch, from the equations in `agents.offline.cde`: the reference of the bench `cde_update`.

Five Adam optimisers: V, E, pi_D, the two multipliers, and pi with its entropy weight. A `Learner` imports torch when it
is created. Shapes: B rows of a batch, N actions outside the data per row, O observation and A action components.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from prospect_rl.agents.offline.cde.cde import CDE
from prospect_rl.agents.offline.cde.divergence import slope
from prospect_rl.agents.offline.cde.networks import EDGE, LOG_STD, MEAN_BOUND


class Learner:
    """Networks, multipliers and optimisers with the settings of one of our agents (bound; `rejection` any)."""

    def __init__(self, agent: CDE) -> None:
        self.torch, self.agent = import_module("torch"), agent
        obs, action = agent.sizes
        self.v, self.e = self.network(obs, 1), self.network(obs + action, 1)
        self.behaviour = self.network(obs, *(agent.components * n for n in (1, action, action)))
        self.actor = self.network(obs, action, action)
        self.eta_v, self.eta_e, self.log_c = (self.torch.zeros((), requires_grad=True) for _ in range(3))
        groups = self.v.parameters(), self.e.parameters(), self.behaviour.parameters(), [self.eta_v, self.eta_e]
        self.of_policy = [*self.actor.parameters(), self.log_c]
        self.of_values = [self.torch.optim.Adam(group, agent.learning_rate) for group in groups]
        self.policy_optimiser = self.torch.optim.Adam(self.of_policy, agent.learning_rate)

    def network(self, inputs: int, *outputs: int) -> Any:
        """A network with hidden ReLU layers and one head per output."""
        nn, layers = self.torch.nn, []
        for width in self.agent.hidden:
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        return nn.ModuleList([nn.Sequential(*layers), *(nn.Linear(inputs, n) for n in outputs)])

    def update(self, batch: Any, drawn: Any, noise: Any) -> dict[str, Any]:
        """Update everything once; returns the losses.

        batch: as `Rows` of optidice.py, tensors. drawn [N, B, A]: uniform in [-1, 1]. noise [B, A]: normal.
        """
        losses = self.improve_values(batch, drawn)
        return losses | self.improve_policy(batch, noise)

    def improve_values(self, batch: Any, drawn: Any) -> dict[str, Any]:
        """Update V, E, pi_D and the multipliers."""
        a, torch = self.agent, self.torch
        eta_v, eta_e = self.eta_v.detach(), self.eta_e.detach()
        value, following, start = critic(self.v, torch.cat([batch.obs, batch.next_obs, batch.start])).chunk(3)
        advantage = batch.reward + a.gamma * (1 - batch.terminated) * following - value
        x = (advantage - eta_v) / a.alpha
        w, held = self.ratio(x), advantage.detach()
        loss_v = (w * (advantage - eta_v) - a.alpha * self.cost(x)).mean() + eta_v + (1 - a.gamma) * start.mean()

        together = torch.cat([batch.action[None], drawn])
        edges = critic(self.e, torch.cat([batch.obs.expand(len(together), -1, -1), together], -1))
        edge, outside = edges[0], edges[1:]
        w_e = self.ratio((edge.detach() - eta_e) / a.alpha)
        mixture, raw = self.mixture(batch.obs), batch.action.clamp(-EDGE, EDGE).atanh()
        reach = mixture[2].detach().exp().mean(1).clamp(max=a.nearest)
        counts = ((drawn - batch.action).abs() >= reach).any(-1)
        excess = (outside - eta_e - a.alpha * slope(a.epsilon)).relu()
        beyond = (excess**2 * counts).sum() / counts.sum().clamp(min=1)
        loss_e = a.zeta * ((edge - held) ** 2).mean() + (1 - a.zeta) * beyond
        loss_d = -(self.log_mixture(raw, *mixture) - self.log_slope(raw)).mean()

        multipliers = (w.detach() * (held - self.eta_v)).mean() + self.eta_v
        multipliers = multipliers + (w_e * (held - self.eta_e)).mean() + self.eta_e
        for optimiser in self.of_values:
            optimiser.zero_grad()
        (loss_v + loss_e + loss_d + multipliers).backward()
        for optimiser in self.of_values:
            optimiser.step()
        return {"learn/loss_v": loss_v, "learn/loss_e": loss_e, "learn/loss_behaviour": loss_d}

    def improve_policy(self, batch: Any, noise: Any) -> dict[str, Any]:
        """Update pi by projection, and its entropy weight; E receives no gradient."""
        a, torch = self.agent, self.torch
        mean, log_std = self.gaussian(batch.obs)
        raw = mean + log_std.exp() * noise
        slopes, log_pi = self.log_slope(raw), log_gaussian(raw, mean, log_std)
        with torch.no_grad():
            mixture = self.mixture(batch.obs)
        apart = log_pi - a.zeta * self.log_mixture(raw, *mixture) - (1 - a.zeta) * slopes
        x = (critic(self.e, torch.cat([batch.obs, raw.tanh()], 1)) - self.eta_e.detach()) / a.alpha
        loss = -(batch.weight * (self.log_ratio(x) - apart)).mean()
        entropy = -(log_pi - slopes).mean()
        tuning = self.log_c * (entropy.detach() + noise.shape[1])
        self.policy_optimiser.zero_grad()
        (loss - self.log_c.detach().exp() * entropy + tuning).backward(inputs=self.of_policy)
        self.policy_optimiser.step()
        return {"learn/loss_policy": loss}

    # --- densities and divergence --------------------------------------------------------------------

    def gaussian(self, obs: Any) -> tuple[Any, Any]:
        """(mean, log std) [B, A] of pi."""
        body, mean, log_std = self.actor
        x = body(obs)
        return mean(x).clamp(-MEAN_BOUND, MEAN_BOUND), log_std(x).clamp(*LOG_STD)

    def mixture(self, obs: Any) -> tuple[Any, Any, Any]:
        """(logits [B, K], mean, log std [B, K, A]) of pi_D."""
        body, logits, mean, log_std = self.behaviour
        x, parts = body(obs), (self.agent.components, -1)
        mean, log_std = (head(x).unflatten(-1, parts) for head in (mean, log_std))
        return logits(x), mean.clamp(-MEAN_BOUND, MEAN_BOUND), log_std.clamp(*LOG_STD)

    def log_mixture(self, x: Any, logits: Any, mean: Any, log_std: Any) -> Any:
        """The log density [B] of x [B, A]."""
        return (logits.log_softmax(-1) + log_gaussian(x[:, None], mean, log_std)).logsumexp(-1)

    def log_slope(self, x: Any) -> Any:
        """The sum [B] of log |d tanh(x) / dx|."""
        return (2 * (math.log(2) - x - self.torch.nn.functional.softplus(-2 * x))).sum(-1)

    def ratio(self, x: Any) -> Any:
        """The density ratio R(x)."""
        return self.torch.where(x < 0, x.clamp(max=0).exp(), x + 1)

    def cost(self, x: Any) -> Any:
        """The divergence G(x) = f(R(x))."""
        below = x.clamp(max=0)
        return self.torch.where(x < 0, (below - 1) * below.exp() + 1, x**2 / 2)

    def log_ratio(self, x: Any) -> Any:
        """The logarithm of R(x)."""
        return self.torch.where(x < 0, x, x.clamp(min=0).log1p())


def critic(network: Any, x: Any) -> Any:
    """Values [...] of a network with one output, for x [..., D]."""
    body, head = network
    return head(body(x))[..., 0]


def log_gaussian(x: Any, mean: Any, log_std: Any) -> Any:
    """The log density [...] of x [..., A]."""
    return (-0.5 * ((x - mean) * (-log_std).exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
