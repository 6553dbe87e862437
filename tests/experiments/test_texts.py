"""Text tasks in runs: agents with a memory train on them as they are, `play` prints a text, and GRPO continues one."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.experiments.cli import main
from prospect_rl.experiments.run.config import Run
from prospect_rl.experiments.run.driver import train_run

STREAMS = {"num_envs": 4, "length": 16, "minibatches": 2, "hidden": (8,)}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fields"), [("ppo", {"recurrent": 8}), ("ppo_elmur", {})])
def test_agents_with_a_memory_train_on_texts_and_play_prints_one(name, fields, tmp_path, capsys):
    agent = agents.make(name, **STREAMS, **fields)
    run = Run(agent, "text/reverse", (("length", 3),), budget=128, evals=1, eval_episodes=2)
    assert 0 <= train_run(run, out=tmp_path / "run").rows[-1]["unseen/success"] <= 1
    assert main.main(["play", str(tmp_path / "run")]) == 0
    assert re.search(r"^\d \d \d = .+$", capsys.readouterr().out, re.M)


@pytest.mark.slow
def test_what_was_trained_continues_a_problem(tmp_path):
    """A loaded policy hears `3 1 =` token by token and then speaks tokens of its own."""
    tiny = {"prompts": 2, "group": 2, "minibatches": 2, "layers": 1, "width": 8, "heads": 2, "kv_heads": 1, "ffn": 8}
    run = Run(agents.GRPO(**tiny, cold=1), "text/reverse", (("length", 2),), budget=8, evals=1, eval_episodes=2)
    train_run(run, out=tmp_path / "run")
    player, spoken = agents.load(tmp_path / "run"), []
    for token in (0, 5, 3, 1):  # the end, by which a text begins, then the problem
        spoken = [int(player(np.int32(token), 0.0))]
    for _ in range(2):
        spoken.append(int(player(jnp.int32(spoken[-1]), 0.0)))
    assert len(spoken) == 3 and all(0 <= token < envs.make("text/reverse").spec.action.n for token in spoken)
