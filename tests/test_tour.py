"""The notebook runs from its first cell to its last; its outputs are stored, small, and from no particular machine."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8")
BOOK = json.loads(TEXT)
CODE = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]
INSTALL, *RUN = CODE


def source(cell: dict) -> str:
    """A cell's Python, without what is IPython's."""
    return "".join(line for line in cell["source"] if not line.startswith("%"))


def shown(cell: dict) -> str:
    """What a cell has written."""
    return "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")


def test_it_says_what_to_install():
    """The extras that it needs beside the package, which exist, for every Python that the package supports."""
    assert not source(INSTALL) and INSTALL["outputs"] == []
    names = re.fullmatch(r'%pip install --quiet "prospect-rl\[(.*)\]"', "".join(INSTALL["source"])).group(1)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(names.split(",")) == {"minigrid"} <= set(project["optional-dependencies"])


def test_it_was_run_in_order_and_holds_its_outputs():
    assert BOOK["nbformat"] == 4 and [cell["execution_count"] for cell in RUN] == list(range(1, len(RUN) + 1))
    kinds = [{out["output_type"] for out in cell["outputs"]} for cell in RUN]
    assert kinds[0] == set() and all(kinds[1:]), "all cells but the imports show something"
    assert not any("error" in kind for kind in kinds)
    assert not any(out.get("name") == "stderr" for cell in RUN for out in cell["outputs"])
    pictures = [
        out["data"]["image/png"] for cell in RUN for out in cell["outputs"] if "image/png" in out.get("data", {})
    ]
    assert len(pictures) == 3 and max(map(len, pictures)) < 60_000
    assert "[True, True]" in TEXT and "another configuration" in TEXT


def test_it_holds_nothing_of_the_machine_that_ran_it():
    assert BOOK["metadata"]["kernelspec"]["name"] == "python3" and all(not cell["metadata"] for cell in BOOK["cells"])
    assert not re.search(r"/(home|root|tmp|work|Users)/|0x[0-9a-f]{6}", TEXT)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "tour"}
    for number, cell in enumerate(RUN):
        exec(compile(source(cell), f"tour.ipynb, code cell {number}", "exec"), names)
    matplotlib.pyplot.close("all")
    assert len(names["archive"]["fitness"]) > 50 and names["last"]["ledger/coverage"] > 0.1
    assert names["score"] > 0.9 and names["same"] == [True, True]
    assert names["result"].rows[-1]["eval/return"] > 100
