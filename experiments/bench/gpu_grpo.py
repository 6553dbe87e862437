"""An iteration of GRPO with 135 million parameters on an accelerator, against transformers and eager PyTorch.

The shapes of SmolLM2-135M (30 layers of 576 numbers, 49,152 tokens) with random weights, 8 + 24 tokens a text, groups
of 8, four gradient steps, at 256 and 1024 texts; products are bfloat16, our weights float32. The rival samples with
`generate` (grpo_torch.py). Needs torch and transformers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax.numpy as jnp
from flax import struct

from prospect_rl.envs.api import Array, static
from prospect_rl.envs.text.task import TextTask
from prospect_rl.experiments import bench
from prospect_rl.experiments.bench.grpo_torch import Shapes, check, their_seconds
from prospect_rl.experiments.bench.grpo_update import our_seconds

TARGETS: bench.Targets = {"ratio_256": ("at least", 5.0), "ratio_1024": ("at least", 2.5)}
"""On an NVIDIA H200."""
SHAPES = Shapes(vocabulary=49_152, problem=8, answer=24, layers=30, width=576, heads=9, kv_heads=3, ffn=1536)
SMALL = replace(SHAPES, vocabulary=64, layers=2, width=36, ffn=48)
TURNS = 5


@struct.dataclass
class Repeat(TextTask):
    """Repeat seven of many words again and again."""

    words: int = static(SHAPES.vocabulary - 2, least=2)
    """Number of different words there are."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Numbers as the words."""
        return tuple(str(i) for i in range(self.words))

    @property
    def choices(self) -> tuple[int, ...]:
        """Every word is drawn independently."""
        return (self.words,) * (SHAPES.problem - 1)

    @property
    def answer_length(self) -> int:
        """All that there is room for, but the end."""
        return SHAPES.answer - 1

    def pose(self, chosen: Array) -> Array:
        """The words as they were drawn."""
        return chosen

    def solve(self, problem: Array) -> tuple[Array, Array]:
        """The words again and again."""
        return jnp.resize(problem, (self.answer_length,)), jnp.int32(self.answer_length)


def measure(small: bool) -> dict[str, float]:
    """Seconds of an update of ours and of the rival, by the number of texts; ours alone where there is no accelerator.

    Raises ValueError on an accelerator without torch or transformers.
    """
    if small:
        ours = bench.start(our_seconds, partial(Repeat, words=SMALL.vocabulary - 2), SMALL, 16, 1).result()
        return {"s_per_update_16": ours}
    check()
    found: dict[str, float] = {}
    for texts in (256, 1024):
        ours = bench.start(our_seconds, Repeat, SHAPES, texts, TURNS, "bfloat16", cores=0).result()
        sampling, learning = bench.start(their_seconds, SHAPES, texts, TURNS, cores=0).result()
        found |= {
            f"ratio_{texts}": (sampling + learning) / ours, f"s_per_update_{texts}": ours,
            f"s_sampling_torch_{texts}": sampling, f"s_learning_torch_{texts}": learning,
        }  # fmt: skip
    return found
