"""The notebook runs from its first cell to its last, and holds no outputs."""

import json
from pathlib import Path

import pytest

BOOK = json.loads((Path(__file__).parents[1] / "docs" / "tour.ipynb").read_text())
CODE = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]


def test_it_holds_no_outputs():
    assert BOOK["nbformat"] == 4 and len(CODE) > 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "tour"}
    for number, cell in enumerate(CODE):
        exec(compile("".join(cell["source"]), f"tour.ipynb, code cell {number}", "exec"), names)
    matplotlib.pyplot.close("all")
    assert len(names["archive"]["fitness"]) > 50 and names["last"]["ledger/coverage"] > 0.1
    assert names["score"] > 0.9 and names["same"] == [True, True]
