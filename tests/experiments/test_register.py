"""Experiments are found by their text; a broken file is named and hides no other."""

import pytest

from prospect_rl.experiments import register
from prospect_rl.experiments.cli import listing
from prospect_rl.experiments.register import EXPERIMENTS, declared, load


def write(folder, method, name, text):
    path = folder / method / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_with_a_declaration_is_found_without_being_imported(tmp_path):
    write(tmp_path, "mine", "first", "import nothing_of_the_kind\n\nEXPERIMENT = None\n")
    write(tmp_path, "mine", "second", "EXPERIMENT: Experiment = None\n")
    write(tmp_path, "mine", "common", "def helper():\n    EXPERIMENT = 1\n")
    assert declared(tmp_path) == {
        "first": "prospect_rl.experiments.papers.mine.first", "second": "prospect_rl.experiments.papers.mine.second",
    }  # fmt: skip


def test_two_files_of_one_name_are_named(tmp_path):
    paths = [write(tmp_path, method, "same", "EXPERIMENT = None\n") for method in ("a", "b")]
    with pytest.raises(ValueError, match="declare experiments of the same name") as error:
        declared(tmp_path)
    assert all(str(path) in str(error.value) for path in paths)


def test_all_that_is_found_can_be_loaded():
    assert len(EXPERIMENTS) >= 20 and [load(name).name for name in EXPERIMENTS] == list(EXPERIMENTS)


def test_a_broken_declaration_names_its_file_and_hides_no_other(monkeypatch):
    broken = {"mex_broken": "prospect_rl.experiments.papers.mex.mex_broken", "common": register.__name__}
    monkeypatch.setattr(register, "EXPERIMENTS", dict(EXPERIMENTS) | broken)
    monkeypatch.setattr(listing, "EXPERIMENTS", register.EXPERIMENTS)
    with pytest.raises(ValueError, match=r"papers/mex/mex_broken\.py cannot be imported: ModuleNotFoundError"):
        load("mex_broken")
    with pytest.raises(ValueError, match="declares no EXPERIMENT"):
        load("common")
    rows = {row["experiment"]: row["title"] for row in listing.experiments_rows()}
    assert "mex_broken.py cannot be imported" in rows["mex_broken"] and rows["mex_lock"] == load("mex_lock").title
