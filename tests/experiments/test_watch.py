"""What `watch` shows: an episode from its start to its end, as pictures and as half blocks of a terminal."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from rich.console import Console

from prospect_rl import agents, envs
from prospect_rl.agents.floor import Floor
from prospect_rl.experiments import train
from prospect_rl.experiments.cli import watch
from prospect_rl.experiments.run import episode
from tests import toy_agents, toy_envs


def test_an_episode_from_start_to_end():
    env = envs.make("point/sparse")
    agent = Floor(action="zero").bind(env.spec)
    behaviour = agent.exploit(agent.init(jax.random.key(0)))
    seen = episode.watch(agent, env, behaviour, 0, 0)
    assert seen.facts["length"] == env.spec.horizon and len(seen.frames) == min(episode.MOST, env.spec.horizon + 1)
    assert seen.captions[0] == "step 0" and seen.captions[-1].startswith(f"step {env.spec.horizon}, return ")
    assert seen.frames[0].dtype == np.uint8 and seen.frames[0].shape[2] == 3


@struct.dataclass
class Paid(toy_envs.Point):
    """Pays for every step, by where it is."""

    def step(self, state, action, key):
        state, step = super().step(state, action, key)
        return state, step.replace(reward=jnp.sum(state[0]))

    def frame(self, state):
        return np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    "agent", [toy_agents.Evolver(), toy_agents.Walker()], ids=["starts that are fixed", "fresh starts"]
)
def test_it_shows_the_episodes_of_the_evaluation(agent):
    result = train(agent, Paid(), seed=3, budget=60, evals=2, eval_episodes=2)
    seen = [episode.watch(result.agent, result.env, result.behaviour, 3, 1, e).facts for e in range(2)]
    assert len({facts["return"] for facts in seen}) == 2
    for name in ("return", "length", "success"):
        assert np.mean([facts[name] for facts in seen]) == pytest.approx(result.rows[-1][f"eval/{name}"], rel=1e-5)


def test_the_command_shows_an_episode_of_the_last_evaluation(tmp_path, monkeypatch):
    agent, asked = agents.make("random_search", population=20), []
    train(agent, "point/sparse", seed=5, budget=60, evals=3, out=tmp_path)
    shown = episode.Watched([np.zeros((2, 2, 3), np.uint8)], [""], {"return": 0.0})
    monkeypatch.setattr(watch, "watch", lambda *words: asked.append(words[3:]) or shown)
    assert watch.watch_run([str(tmp_path), "--gif", str(tmp_path / "a.gif"), "--episode", "1"]) == 0
    assert asked == [(5, 2, 1)]


def test_half_blocks_hold_two_pixels_each():
    frame = np.zeros((4, 2, 3), np.uint8)
    frame[1], frame[2] = 255, (10, 20, 30)
    text = watch.blocks(frame, (2, 4))
    assert text.plain == f"{watch.PIXEL * 2}\n" * 2
    assert [str(span.style) for span in text.spans[:3:2]] == [
        "rgb(0,0,0) on rgb(255,255,255)", "rgb(10,20,30) on rgb(0,0,0)",
    ]  # fmt: skip


def test_a_terminal_gets_every_picture():
    frame = np.full((8, 8, 3), 200, np.uint8)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=40, height=20)
    watch.show(console, episode.Watched([frame, frame], ["step 0", "step 1, return 0"], {}), fps=1000)
    shown = console.file.getvalue()
    assert "step 0" in shown and "step 1, return 0" in shown and "38;2;200;200;200" in shown


@pytest.mark.parametrize(("term", "begins"), [("xterm", "\x1b[?25l"), ("dumb", "@@@@")])
def test_without_colours_a_picture_is_made_of_letters(monkeypatch, term, begins):
    monkeypatch.setenv("TERM", term)
    dark, light = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    frame = np.concatenate([dark, light], axis=1)
    console = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=40, height=20)
    watch.show(console, episode.Watched([frame, frame], ["step 0", "step 1, return 0"], {}), fps=1000)
    shown = console.file.getvalue()
    assert shown.startswith(begins) and "@" * 8 + " " * 8 + "\n" in shown and "step 1, return 0" in shown
    assert "\x1b" not in shown or term != "dumb"
