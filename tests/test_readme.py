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


@pytest.mark.slow
def test_its_example_trains_on_an_environment_of_the_readers_own(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(code, "README.md", "exec"), {"__name__": "example"})
    score, coverage = map(float, capsys.readouterr().out.split())
    assert score > 0.5 and coverage > 0.2
