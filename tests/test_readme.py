"""README keeps its word: its Python example runs as it stands, and its commands exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_its_make_targets_exist():
    from prospect_rl.experiments.register import EXPERIMENTS

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
def test_its_first_lines_print_what_stands_below_them(capsys):
    run(EXAMPLES[0])
    printed = re.search(r"```\n(\d+ evaluations: .*?)```", README, re.S).group(1)
    assert len(EXAMPLES[0].splitlines()) == 6
    mine, theirs = ([float(x) for x in re.findall(r"\d+\.?\d*", text)] for text in (capsys.readouterr().out, printed))
    assert mine == pytest.approx(theirs, rel=0.1), (
        "another processor rounds otherwise, and then other policies are tried"
    )


def test_its_first_screen_has_what_a_newcomer_looks_for():
    places = [README.index(words) for words in ("\nmake demo", "pip install .", ".[cuda]", "```python", "| method |",
              "archive.png", "Why not another library?", "## Use it", "**On a GPU.**", "## Speed")]  # fmt: skip
    assert places == sorted(places)
    assert all(f"[{name}]" in README for name in ("stable-baselines3", "QDax", "CORL", "JaxGCRL"))
    assert len(re.findall(r"^- ", README[places[-1] :], re.M)) == 4, "four figures of speed"


@pytest.mark.slow
def test_its_example_trains_on_an_environment_of_the_readers_own(capsys):
    run(EXAMPLES[1])
    score, coverage = map(float, capsys.readouterr().out.split())
    assert score > 0.5 and coverage > 0.2


@pytest.mark.slow
def test_and_on_pictures_of_it(capsys):
    cheap = EXAMPLES[1].replace("budget=6000", "budget=200")
    names = run(cheap + EXAMPLES[2])
    score, coverage = map(float, capsys.readouterr().out.split()[-2:])
    last = names["result"].rows[-1]
    assert score > 0.5 and coverage > 0.1 and last["learn/trainings"] >= 2 and last["features/blank"] == 0
    assert len(EXAMPLES[2].partition("def marks")[2].partition("result")[0].strip().splitlines()) <= 10


@pytest.mark.slow
def test_its_environments_are_gymnasiums_too():
    names = run(EXAMPLES[3])
    assert names["picture"].shape[-1] == 3 and names["obs"].shape == (64, 2)


@pytest.mark.slow
def test_its_trained_agent_is_used(tmp_path, monkeypatch):
    assert len(EXAMPLES) == 6
    monkeypatch.chdir(tmp_path)
    names = run(EXAMPLES[5])
    assert names["score"] > 0 and (tmp_path / "policy.npz").exists()


@pytest.mark.slow
def test_its_agent_trains_on_an_environment_of_gymnasium():
    assert run(EXAMPLES[4])["result"].rows[-1]["eval/length"] == 200
