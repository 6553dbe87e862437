"""ELMUR's layers in eager PyTorch, from the equations in agents/sequence/elmur/layer.py.

Processes one segment of a batch at a time, without dropout or experts; the first write replaces. `model` needs torch.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

REACH = 1024


def model(*, inputs: int, outputs: int, width: int, layers: int, heads: int, ffn: int, lam: float = 0.5) -> Any:
    """A PyTorch module: (obs [B, L, inputs], slots, written, time) -> (logits [B, L, outputs], slots, written).

    slots: one array [B, M, width] per layer; written: M integers, -1 for never; time: number of the first step.
    """
    torch = import_module("torch")
    nn, layer_class = torch.nn, layer_of(torch, attention_of(torch, width, heads), width, heads, ffn, lam)

    class Elmur(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(inputs, width), nn.Linear(width, outputs, bias=False)
            self.layers = nn.ModuleList(layer_class() for _ in range(layers))
            self.pair = nn.ParameterList(nn.Parameter(0.02 * torch.randn(heads, width // heads)) for _ in range(2))

        def forward(
            self, obs: Any, slots: list[Any], written: list[int], time: int
        ) -> tuple[Any, list[Any], list[int]]:
            length = obs.shape[1]
            steps = torch.arange(length)
            angle = steps[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
            place = torch.cat([angle.sin(), angle.cos()], -1)
            mask = torch.where(steps[:, None] >= steps, 0.0, -math.inf)
            x, after, when = self.embed(obs), [], torch.tensor(written)
            for layer, memory in zip(self.layers, slots, strict=True):
                x, memory = layer(x, memory, when, time + steps, tuple(self.pair), place, mask)
                after.append(memory)
            written = [*written]
            written[int(when.argmin())] = time + length - 1
            return self.head(x), after, written

    return Elmur()


def attention_of(torch: Any, width: int, heads: int) -> Any:
    """The class of a multi-head attention, with relative positions if a pair of biases is given."""
    nn, d = torch.nn, width // heads

    def split(x: Any) -> Any:
        return x.unflatten(-1, (heads, d)).transpose(-2, -3)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.relative = (nn.Linear(width, width, bias=False) for _ in range(4))
            self.out = nn.Linear(width, width)

        def forward(self, x: Any, y: Any, bias: Any, pair: Any = None, place: Any = None) -> Any:
            q, k, v = split(self.query(x)), split(self.key(y)), split(self.value(y))
            if pair is None:
                score = q @ k.transpose(-1, -2) / math.sqrt(d) + bias
            else:
                length = x.shape[-2]
                back = (torch.arange(length)[:, None] - torch.arange(length)).clamp(min=0)
                far = (q + pair[1][:, None]) @ split(self.relative(place)).transpose(-1, -2)
                near = (q + pair[0][:, None]) @ k.transpose(-1, -2)
                score = (near + far.gather(-1, back.expand_as(near))) / math.sqrt(d) + bias
            return self.out((score.softmax(-1) @ v).transpose(-2, -3).flatten(-2))

    return Attention


def layer_of(torch: Any, attention: Any, width: int, heads: int, ffn: int, lam: float) -> Any:
    """The class of a layer: attention over the segment, a read of the slots, and a write to the oldest slot."""
    nn = torch.nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.read, self.write = (attention() for _ in range(3))
            self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-8) for _ in range(5))
            self.bias = nn.Parameter(0.02 * torch.randn(2 * REACH - 1, heads))
            self.ffns = nn.ModuleList(
                nn.Sequential(nn.Linear(width, ffn), nn.GELU(), nn.Linear(ffn, width)) for _ in range(2)
            )

        def biased(self, ages: Any) -> Any:
            return self.bias[ages.clamp(1 - REACH, REACH - 1) + REACH - 1].movedim(-1, 0)

        def forward(self, x: Any, slots: Any, written: Any, times: Any, pair: Any, place: Any, mask: Any) -> Any:
            x = self.norms[0](x + self.attention(x, x, mask, pair, place))
            x = self.norms[1](x + self.read(x, slots, self.biased(times[:, None] - written)))
            x = self.norms[2](x + self.ffns[0](x))
            j = int(written.argmin())
            slot, share = slots[:, j : j + 1], 1.0 if written[j] < 0 else lam
            new = self.norms[3](slot + self.write(slot, x, self.biased((written[j] - times)[None])))
            new = share * self.norms[4](new + self.ffns[1](new)) + (1 - share) * slot
            return x, torch.cat([slots[:, :j], new, slots[:, j + 1 :]], 1)

    return Layer
