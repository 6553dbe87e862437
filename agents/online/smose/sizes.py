"""Numbers of parameters, and policies of SAC with as many: the rivals of equal size.

With D observation and A action components and M experts, a policy of SAC with one ReLU layer of H units has
H (D + 2 A + 1) + 2 A parameters. H is matched without biases, as in the code that SMoSE's authors released:
    SAC-M   all parameters of router and experts          H = ceil(M D (1 + 2 A) / (D + 2 A))
    SAC-S   those of the router and of one expert         H = ceil(D (M + 2 A) / (D + 2 A))
"""

from __future__ import annotations

from prospect_rl.agents.api import Box, Spec


def sizes_of(spec: Spec) -> tuple[int, int]:
    """(D, A) of an environment. Raises ValueError where these are not one array of numbers each."""
    if not isinstance(spec.obs, Box) or not isinstance(spec.action, Box):
        raise ValueError(f"{spec.id} has no size to match: it needs one array of numbers to see and one to act")
    return spec.obs.size, spec.action.size


def medium_width(spec: Spec, experts: int = 8) -> int:
    """The width of SAC-M's one hidden layer: as many parameters as router and experts together."""
    obs, action = sizes_of(spec)
    return -(-experts * obs * (1 + 2 * action) // (obs + 2 * action))


def small_width(spec: Spec, experts: int = 8) -> int:
    """The width of SAC-S's one hidden layer: as many parameters as the router and one expert."""
    obs, action = sizes_of(spec)
    return -(-obs * (experts + 2 * action) // (obs + 2 * action))


def parameters(features: int, outputs: int, experts: int = 8, *, heads: int = 2) -> dict[str, int]:
    """Numbers of parameters of a mixture, with biases: of all of it, and of parts.

    heads: 2 where an expert gives means and log standard deviations, 1 where it gives logits alone.
    """
    router, head = (features + 1) * experts, (features + 1) * outputs
    return {
        "router and all experts": router + heads * experts * head, "router and means": router + experts * head,
        "router and one mean": router + head, "router and one expert": router + heads * head,
    }  # fmt: skip


def dense_parameters(*widths: int) -> int:
    """The number of parameters of a network with these widths, from its inputs to its outputs."""
    return sum((fan_in + 1) * width for fan_in, width in zip(widths, widths[1:], strict=False))


def gaussian_parameters(spec: Spec, *hidden: int) -> int:
    """The number of parameters of SAC's policy with these hidden layers."""
    obs, action = sizes_of(spec)
    return dense_parameters(obs, *hidden, 2 * action)
