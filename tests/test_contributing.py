"""CONTRIBUTING keeps its word: in a copy of the checkout its files and lines are added as it says, and it all works."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|diff)\n# ([\w.]+), in (\S+)/\n(.*?)```", GUIDE, re.S)
"""(kind, file, folder, text) of what is added: new files, and lines in those that there are."""


def added(old: str, lines: list[str]) -> str:
    """A text with the lines that begin with `+`, each after the one before it, which must be there once."""
    for before, line in zip(lines, lines[1:], strict=False):
        if line.startswith("+"):
            assert before[0] == " " and old.count(f"{before[1:]}\n") == 1, before
            old = old.replace(f"{before[1:]}\n", f"{before[1:]}\n{line[1:]}\n")
    return old


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the checkout in which the guide was followed."""
    root = tmp_path_factory.mktemp("checkout")
    left = shutil.ignore_patterns("__pycache__")
    for name in ("agents", "envs", "experiments", "prospect_rl", "tests"):
        shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=left)
    shutil.copy(ROOT / "pyproject.toml", root)
    for kind, name, folder, text in BLOCKS:
        path = root / folder / name
        assert path.exists() == (kind == "diff"), path
        path.write_text(added(path.read_text(), text.splitlines()) if kind == "diff" else text)
    return root


def python(checkout: Path, *words: str) -> str:
    """What a command in the copy prints; its runs stay there."""
    own = {"PYTHONPATH": str(checkout), "PROSPECT_RUNS": str(checkout / "runs")}
    if cache := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        own["PROSPECT_CACHE"] = cache
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def prospect(checkout: Path, *words: str) -> str:
    return python(checkout, "-m", "prospect_rl.experiments", *words)


def test_it_adds_three_files_and_names_two_of_them():
    assert [kind for kind, *_ in BLOCKS] == ["python", "diff"] * 2 + ["python"]
    assert all(len(text.splitlines()) < 75 for *_, text in BLOCKS), "what is short is read"


def test_its_code_has_the_style_that_it_asks_for(checkout):
    new = [str(Path(folder) / name) for kind, name, folder, _ in BLOCKS if kind == "python"]
    for check in (["check"], ["format", "--check"]):
        python(checkout, "-m", "ruff", *check, "--no-cache", *new)


def test_its_agent_learns_in_its_environment(checkout):
    shown = prospect(checkout, "run", "cem")
    assert "success rate" in shown
    (result,) = (checkout / "runs" / "single" / "cem" / "puck-stop").glob("*/result.json")
    assert json.loads(result.read_text())["rows"][-1]["eval/return"] > 0.5


@pytest.mark.parametrize(("file", "word"), [("test_agents.py", "cem"), ("test_envs.py", "puck")])
def test_both_pass_the_tests_that_they_get_for_free(checkout, file, word):
    shown = python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/contract/{file}", "-k", word)
    assert int(re.search(r"(\d+) passed", shown).group(1)) >= 10 and "skipped" not in shown.splitlines()[-1]


def verdict(checkout: Path, report: Path, *words: str) -> str:
    """What the experiment's one claim came to, as it is printed and kept."""
    shown = prospect(checkout, "run", *words)
    (claim,) = csv.DictReader((checkout / report / "claims.csv").read_text().splitlines())
    assert claim["outcome"] in shown and claim["claim"] in (checkout / report / "README.md").read_text()
    return claim["outcome"]


def test_its_experiment_gets_a_verdict(checkout):
    path = checkout / "experiments" / "papers" / "baselines" / "cem_puck.py"
    shutil.copy(path, checkout)
    path.write_text("")  # where it lies under papers/ it is found by its name, and the file elsewhere must have another
    assert "cem_puck" not in prospect(checkout, "list", "experiments")
    assert verdict(checkout, Path("runs", "cem_puck", "smoke", "report"), "cem_puck.py") == "INCONCLUSIVE"
    shutil.copy(checkout / "cem_puck.py", path)
    assert "cem_puck" in prospect(checkout, "list", "experiments")


@pytest.mark.slow  # twenty runs
def test_more_seeds_decide_it(checkout):
    assert verdict(checkout, Path("results", "cem_puck"), "cem_puck", "--tier", "repro") == "PASS"
