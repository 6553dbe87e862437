"""Trained agents as files: opened from a run, from a player's folder, in another process, and in NumPy alone.

That every registered agent can be opened is held by `tests/contract/test_agents.py`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from prospect_rl import agents, envs
from prospect_rl.agents.api import Box, Discrete
from prospect_rl.agents.ship.portable import Policy
from prospect_rl.experiments import train
from prospect_rl.experiments.run import players as shipping
from prospect_rl.experiments.run.durable import canonical
from tests import toy_agents, toy_envs, toy_runs
from tests.agents.players import PICTURE, observations, spec

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of an agent that evolves, in the environment of the gymnasium loop."""
    out = tmp_path_factory.mktemp("runs") / "search"
    train(agents.RandomSearch(population=50), "point/sparse", seed=3, budget=100, evals=1, out=out)
    return out


def test_a_run_is_played_in_a_gymnasium_loop_as_it_was_evaluated(finished):
    import gymnasium

    player, total, over = agents.load(finished), 0.0, False
    env = gymnasium.make("prospect_rl.envs.gymnasium:prospect/PointSparse-v0")
    obs, _ = env.reset(seed=0)
    player.reset()
    while not over:
        action = player(obs)
        assert env.action_space.contains(action)
        obs, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    said = json.loads((finished / "result.json").read_text())["rows"][-1]["eval/return"]
    assert total == pytest.approx(said, abs=1e-4)


def test_a_run_of_several_seeds_in_an_environment_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setitem(agents.AGENTS, "walker", toy_agents.Walker)
    result, env = toy_runs.run("segments-seeds", tmp_path / "run"), toy_envs.Point()
    for number, seed in enumerate((3, 5)):
        player = agents.load(tmp_path / "run", seed=seed, env=env)
        np.testing.assert_array_equal(player.behaviour["weights"], result.behaviour["weights"][number])
    shipping.write(player, tmp_path / "player")
    np.testing.assert_array_equal(agents.load(tmp_path / "player")(np.ones(2)), player(np.ones(2)))
    with pytest.raises(ValueError, match="not registered: pass it"):
        agents.load(tmp_path / "run")
    with pytest.raises(ValueError, match="another version of Walker, or of its environment"):
        agents.load(tmp_path / "run", env=toy_envs.Point(noise=0.5))
    with pytest.raises(ValueError, match="has no seed 4; it has 3, 5"):
        agents.load(tmp_path / "run", seed=4, env=env)
    with pytest.raises(ValueError, match="has no seed 3; it has 5"):
        agents.load(tmp_path / "player", seed=3)


def test_an_offline_run_is_opened_without_its_dataset(tmp_path, monkeypatch):
    monkeypatch.setitem(agents.AGENTS, "cloner", toy_agents.Cloner)
    result = toy_runs.run("batches", tmp_path / "run")
    player = agents.load(tmp_path / "run", env=toy_envs.Point())
    np.testing.assert_array_equal(player.behaviour, result.behaviour)


OPEN = """
import sys
sys.modules |= dict.fromkeys({absent!r})
import json, numpy as np
{load}
print(json.dumps([np.asarray(player(np.asarray(x, np.float32))).tolist() for x in json.loads(sys.argv[1])]))
"""


def elsewhere(load: str, absent: tuple[str, ...], obs: list, folder: Path) -> list:
    """What a player opened in another process does, where some modules cannot be imported."""
    code, seen = OPEN.format(load=load, absent=absent), json.dumps([x.tolist() for x in obs])
    done = subprocess.run([sys.executable, "-c", code, seen], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_players_folder_in_another_process_without_the_environment(finished, tmp_path):
    player, seen = agents.load(finished), observations(Box((2,)))
    shipping.write(player, tmp_path / "player")
    assert {x.name for x in (tmp_path / "player").iterdir()} == {"player.json", "player.safetensors"}
    load = f"from prospect_rl import agents; player = agents.load({str(tmp_path / 'player')!r})"
    found = elsewhere(load, ("prospect_rl.envs.small.point", "gymnasium", "mujoco", "minigrid"), seen, ROOT)
    np.testing.assert_array_equal(np.float32(found), [player(obs) for obs in seen])


def test_a_players_folder_is_never_written_over_something_else(finished, tmp_path):
    player = agents.load(finished)
    (tmp_path / "mine.txt").write_text("mine")
    for write in (shipping.write, shipping.write_numpy):
        with pytest.raises(ValueError, match="contains more than p"):
            write(player, tmp_path)
    assert {x.name for x in tmp_path.iterdir()} == {"mine.txt"}
    shipping.write(player, tmp_path / "player")
    shipping.write(player, tmp_path / "player")  # over itself


def flip(path: Path) -> None:
    """Change a byte in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def later(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))


PLAYER = [
    ("player.safetensors", flip, "player.safetensors has been altered"),
    ("player.safetensors", cut, "player.safetensors has been altered"),
    ("player.safetensors", Path.unlink, "player.safetensors is missing"),
    ("player.json", cut, "player.json is not readable"),
    ("player.json", later, "has schema 99; this version reads schema 1"),
    ("player.json", Path.unlink, "is not a run folder"),
    ("player.json", lambda p: p.write_text(p.read_text().replace("[\n   5,", "[\n   6,")), "has been altered"),
    ("player.json", lambda p: p.write_text("[]"), "player.json is not readable"),
]
RUN = [
    ("run.json", cut, "is not a run folder"),
    ("run.json", lambda p: p.write_text("{}"), "is not a run folder"),
    ("result.json", Path.unlink, "has not finished"),
    ("result.json", cut, "result.json is not readable"),
    ("report.npz", cut, "report.npz is not readable"),
    ("checkpoints/*/state.safetensors", flip, "state.safetensors has been altered"),
    ("checkpoints/*/manifest.json", Path.unlink, "manifest.json is missing"),
    ("checkpoints", shutil.rmtree, "contains no checkpoint"),
]


@pytest.mark.parametrize(
    ("kind", "name", "damage", "line"), [("player", *x) for x in PLAYER] + [("run", *x) for x in RUN]
)
def test_a_damaged_folder_is_one_clear_line(finished, tmp_path, kind, name, damage, line):
    folder = tmp_path / kind
    if kind == "run":
        shutil.copytree(finished, folder)
    else:
        shipping.write(agents.load(finished), folder)
    for path in folder.glob(name):
        damage(path)
    with pytest.raises(ValueError, match=line) as error:
        agents.load(folder)
    assert "\n" not in str(error.value)


def test_no_folder_at_all_is_one_clear_line(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a run folder"):
        agents.load(tmp_path / "nowhere")


def test_a_spec_comes_back_as_it_was():
    for id in ("maze/hard", "lock/combination", "point/sparse", "probe/memory"):
        known = envs.make(id).spec
        facts = {name: getattr(known, name) for name in vars(known) if name not in shipping.HOST}
        back = shipping.spec_of(json.loads(json.dumps(canonical(facts))))
        assert {name: getattr(back, name) for name in facts} == facts
    assert shipping.spec_of(json.loads(json.dumps(canonical(vars(spec(PICTURE, Discrete(3))))))).obs == PICTURE
    for action in (Discrete(3, start=5), Box((2, 1), ((-0.1,), (0.0,)), 0.7, outside="float64")):
        assert shipping.spec_of(json.loads(json.dumps(canonical(vars(spec(PICTURE, action)))))).action == action


class Switch(gymnasium.Env):
    """The one choice of 5 and 6 that pays is 6; what is none of them is an error."""

    observation_space = gymnasium.spaces.Discrete(2, start=3)
    action_space = gymnasium.spaces.Discrete(2, start=5)

    def reset(self, *, seed=None, options=None):
        return 4, {}

    def step(self, action):
        assert self.action_space.contains(action)
        return 3, float(action == 6), True, False, {}


@pytest.mark.slow  # a callback keeps its programs out of the cache
def test_a_run_on_gymnasium_acts_there_as_it_was_trained(tmp_path):
    """Choices count from their start in training, in the player of its folder, in a shipped one and in NumPy."""
    env = envs.from_gymnasium(Switch, 8, horizon=1)
    agent = agents.PPO(num_envs=8, length=16, learning_rate=0.03, hidden=(8,), epochs=4, minibatches=1)
    result = train(agent, env, budget=1024, evals=1, eval_episodes=1, out=tmp_path / "run")
    assert result.rows[-1]["collect/return"] > 0.6, "it learns"
    player = agents.load(tmp_path / "run", env=envs.from_gymnasium(Switch, 8, horizon=1))
    shipping.write(player, tmp_path / "player")
    for act in (player, agents.load(tmp_path / "player"), player.to_numpy()):
        assert act(4, deterministic=True) == 6


def test_agents_have_one_door_upwards():
    named = [path for path in (ROOT / "agents").rglob("*.py") if '"prospect_rl.experiments' in path.read_text()]
    assert named == [ROOT / "agents" / "__init__.py"]


def test_the_files_need_numpy_alone(finished, tmp_path):
    player, seen = agents.load(finished), observations(Box((2,)))
    shipping.write_numpy(player, tmp_path / "out")
    assert {x.name for x in (tmp_path / "out").iterdir()} == {"policy.py", "policy.npz"}
    load = "from policy import Policy; player = Policy('policy.npz')"
    found = elsewhere(load, ("jax", "flax", "prospect_rl", "gymnasium"), seen, tmp_path / "out")
    np.testing.assert_allclose(found, [player(obs) for obs in seen], atol=1e-5)


# --- the command line --------------------------------------------------------------------------------


def test_export_writes_both(finished, tmp_path, capsys):
    from prospect_rl.experiments.cli.main import main

    assert main(["export", str(finished), "--player", str(tmp_path / "player")]) == 0
    assert main(["export", str(finished), "--numpy", str(tmp_path / "numpy")]) == 0
    assert "<Player of RandomSearch for point/sparse>" in capsys.readouterr().out
    obs = np.full(2, 0.3, np.float32)
    np.testing.assert_allclose(
        agents.load(tmp_path / "player")(obs), Policy(tmp_path / "numpy" / "policy.npz")(obs), atol=1e-5
    )
    assert main(["export", str(finished), "--player", "a", "--numpy", "b"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
