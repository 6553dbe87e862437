"""Writes elmur_official.npz: what the official ELMUR layers compute from weights, memory and tokens of ours.

    python -m tests.parity.elmur_official CLONE      (of CognitiveAISystems/RATE; needs torch)

Two of its layers as they are, with the positions, mask and order of its model; tokens are embedded and read out here.
Arrays: our weights and first slots, what is seen [T, ...], outputs [T, A], slots [K, N, M, D] and their times [K, M]
after each of K segments of L steps.
"""

import sys
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from prospect_rl.agents.sequence.elmur.elmur import Elmur
from tests.agents.sequences import made, shaken, stream

FILE = Path(__file__).with_name("elmur_official.npz")
STEPS = 24
AGENT = Elmur(
    width=8, layers=2, heads=2, ffn=12, context=4, segments=3, sigma=0.5, bias_std=1.0, slots=3, lam=0.3,
    positions="official", sinusoid_offset=True, first_write="blend",
)  # fmt: skip
"""The switches make ours the official computation; six segments fill three slots and write over each."""


def weights():
    """(agent, weights none of which is 0 or 1); self-attention there has no bias at its end."""
    agent, params = made(AGENT)
    params = shaken(params)
    for n in range(agent.layers):
        out = params["params"]["trunk"][f"layers_{n}"]["attention"]["out"]
        out["bias"] = 0 * out["bias"]
    return agent, params


def main(clone):
    import torch

    sys.modules["RATE"], encoders = ModuleType("RATE"), ModuleType("RATE.env_encoders")
    for name in ("ObsEncoder", "ActEncoder", "RTGEncoder", "ActDecoder"):
        setattr(encoders, name, None)
    sys.modules["RATE.env_encoders"] = encoders
    sys.path.insert(0, clone)
    from offline_rl_baselines.ELMUR.layers import MemoryState, PositionalEmbedding
    from offline_rl_baselines.ELMUR.model import ELMURLayer

    agent, params = weights()
    w = jax.tree.map(np.array, params["params"])
    tensor = torch.tensor

    def fill(layer, part):
        layer.weight.data = tensor(part["kernel"].T.copy())
        if "bias" in part:
            layer.bias.data = tensor(part["bias"])

    def layer_of(part):
        layer = ELMURLayer(
            agent.width, agent.ffn, agent.heads, agent.slots, "relative", 0.0, 0.0, False, max_seq_len=1024,
            lru_blend_alpha=agent.lam, use_swiglu=False,
        ).eval()  # fmt: skip
        near = layer.self_attention
        joint = np.concatenate([part["attention"][name]["kernel"] for name in ("query", "key", "value")], axis=1)
        near.qkv_net.weight.data = tensor(joint.T.copy())
        fill(near.r_net, part["attention"]["relative"])
        fill(near.o_net, {"kernel": part["attention"]["out"]["kernel"]})
        for theirs, name in ((layer.cross_attention1, "read"), (layer.cross_attention2, "write")):
            for linear, ours in zip("qkvo", ("query", "key", "value", "out"), strict=True):
                fill(getattr(theirs, f"w_{linear}"), part[name][ours])
        norms = (
            near.layer_norm, layer.token_norm_cross, layer.token_ffn.layer_norm, layer.memory_norm_cross,
            layer.memory_ffn.layer_norm,
        )  # fmt: skip
        for i, norm in enumerate(norms):
            norm.weight.data, norm.bias.data = tensor(part[f"norms_{i}"]["scale"]), tensor(part[f"norms_{i}"]["bias"])
        for theirs, name in ((layer.token_ffn, "token_ffn"), (layer.memory_ffn, "slot_ffn")):
            fill(theirs.core_net[0], part[name]["Dense_0"])
            fill(theirs.core_net[3], part[name]["Dense_1"])
        layer.cross_rel_bias.bias.weight.data = tensor(part["bias"])
        return layer

    layers = [layer_of(w["trunk"][f"layers_{n}"]) for n in range(agent.layers)]
    seen, length = jax.tree.map(np.array, stream(STEPS)), agent.context
    first = np.array(agent.network.apply(params, jax.random.key(3), method="start").slots)
    unwritten = torch.full((1, agent.slots), -1, dtype=torch.long)
    memories = [MemoryState(tensor(x[None]), unwritten) for x in first]
    tokens = seen["obs"] @ w["embed_of_obs"]["kernel"] + w["embed_of_obs"]["bias"]
    mask = torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1).unsqueeze(-1)
    outs, slots, times = [], [], []
    with torch.no_grad():
        for begin in range(0, STEPS, length):
            x = tensor(tokens[begin : begin + length])[:, None]
            back = torch.arange(begin + length - 1, begin - 1, -1)
            places = PositionalEmbedding(agent.width)(back.float())
            for n, layer in enumerate(layers):
                biases = (tensor(w["trunk"][name]) for name in ("content", "place"))
                x, memories[n], _ = layer(x, memories[n], back, places, *biases, mask)
            outs.append(x[:, 0].numpy() @ w["out"]["kernel"])
            slots.append(np.stack([m.vec[0].numpy() for m in memories]))
            times.append(memories[0].pos[0].numpy())
    kept = {f"weights/{i}": x for i, x in enumerate(jax.tree.leaves(params))} | seen | {"first slots": first}
    np.savez_compressed(FILE, **kept, out=np.concatenate(outs), slots=np.stack(slots), times=np.stack(times))
    print(np.stack(times).tolist(), np.concatenate(outs)[-1])


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(sys.argv[1])
