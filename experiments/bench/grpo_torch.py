"""A GRPO update with transformers' `generate` and eager PyTorch: what `grpo_update` and `gpu_grpo` run against.

A LLaMA of the same shapes with random weights, made from its configuration: nothing is downloaded. Answers have their
full length, like ours, and a loss of four minibatches is computed on the answers' tokens alone. Its old probabilities
are the detached new ones, and on an accelerator its weights are bfloat16 too: both are less work than ours.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True)
class Shapes:
    """What both sides compute."""

    vocabulary: int
    """Number of different tokens (vocabulary)."""
    problem: int
    """Number of tokens of a problem."""
    answer: int
    """Number of tokens of an answer."""
    layers: int
    """Number of layers of the decoder."""
    width: int
    """Numbers in a token's vector."""
    heads: int
    """Number of heads with queries."""
    kv_heads: int
    """Number of heads with keys and values."""
    ffn: int
    """Number of hidden units of a layer."""
    group: int = 8
    """Number of answers to each problem."""
    minibatches: int = 4
    """Number of gradient steps of an update."""


def check() -> None:
    """Raise ValueError where a library is missing."""
    if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
        raise ValueError(f"the rival needs {' and '.join(missing)}: pip install torch transformers")


def their_seconds(shapes: Shapes, texts: int, turns: int, threads: int = 0) -> tuple[float, float]:
    """(seconds of sampling, of learning) of the quickest of so many updates after one that is not timed.

    threads: on the processor; 0 is for an accelerator, in bfloat16.
    """
    torch = import_module("torch")
    torch.manual_seed(0)
    if threads:
        torch.set_num_threads(threads)
    device = "cpu" if threads else "cuda"
    model = llama(shapes).to(device, torch.float32 if threads else torch.bfloat16)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    best = (float("inf"), 0.0)
    for turn in range(1 + turns):
        marks = [now(torch, device)]
        problems = torch.randint(3, shapes.vocabulary, (texts // shapes.group, shapes.problem), device=device)
        problems = problems.repeat_interleave(shapes.group, 0)
        with torch.no_grad():
            said = model.generate(
                problems, attention_mask=torch.ones_like(problems), do_sample=True, top_k=0, top_p=1.0,
                min_new_tokens=shapes.answer, max_new_tokens=shapes.answer, pad_token_id=0,
            )  # fmt: skip
        marks.append(now(torch, device))
        update(torch, model, optimiser, said, shapes)
        marks.append(now(torch, device))
        if turn and marks[2] - marks[0] < sum(best):
            best = (marks[1] - marks[0], marks[2] - marks[1])
    return best


def llama(shapes: Shapes) -> Any:
    """A LLaMA with random weights and a tied last layer."""
    transformers = import_module("transformers")
    config = transformers.LlamaConfig(
        vocab_size=shapes.vocabulary, hidden_size=shapes.width, intermediate_size=shapes.ffn,
        num_hidden_layers=shapes.layers, num_attention_heads=shapes.heads, num_key_value_heads=shapes.kv_heads,
        max_position_embeddings=shapes.problem + shapes.answer, tie_word_embeddings=True, rms_norm_eps=1e-5,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def update(torch: Any, model: Any, optimiser: Any, said: Any, shapes: Shapes) -> None:
    """One pass over texts [B, T] in minibatches, with rewards for answers that repeat the problem's first token."""
    start = shapes.problem
    right = (said[:, start:] == said[:, :1]).float().mean(1).reshape(-1, shapes.group)
    advantage = (right - right.mean(1, keepdim=True)).reshape(-1, 1)
    for rows in torch.randperm(len(said), device=said.device).chunk(shapes.minibatches):
        logits = model(said[rows]).logits[:, start - 1 : -1].float()
        log_prob = logits.log_softmax(-1).gather(-1, said[rows, start:, None])[..., 0]
        ratio = (log_prob - log_prob.detach()).exp()
        loss = -torch.minimum(ratio * advantage[rows], ratio.clamp(0.8, 1.28) * advantage[rows]).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def now(torch: Any, device: str) -> float:
    """Seconds, once all work is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
