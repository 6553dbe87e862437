"""README keeps its word: its Python example runs as it stands, and its commands exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_its_make_targets_exist():
    from experiments.api import EXPERIMENTS

    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)) | set(EXPERIMENTS)
    assert set(re.findall(r"(?:^|`)make ([a-z_-]+)", README, re.M)) <= targets


def test_its_pictures_and_pages_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)


def run(code: str) -> dict:
    names = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), names)
    return names


@pytest.mark.slow
def test_its_example_trains_on_an_environment_of_the_readers_own(capsys):
    run(EXAMPLES[0])
    score, coverage = map(float, capsys.readouterr().out.split())
    assert score > 0.5 and coverage > 0.2


@pytest.mark.slow
def test_its_environments_are_gymnasiums_too():
    names = run(EXAMPLES[1])
    assert names["picture"].shape[-1] == 3 and names["obs"].shape == (64, 2)


@pytest.mark.slow
def test_its_trained_agent_is_used(tmp_path, monkeypatch):
    assert len(EXAMPLES) == 4
    monkeypatch.chdir(tmp_path)
    names = run(EXAMPLES[3])
    assert names["score"] > 0 and (tmp_path / "policy.npz").exists()


@pytest.mark.slow
def test_its_agent_trains_on_an_environment_of_gymnasium():
    assert run(EXAMPLES[2])["result"].rows[-1]["eval/length"] == 200
