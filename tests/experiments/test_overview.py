"""The overview and the front page from claims tables made by hand: failures first, and in what way they failed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prospect_rl.experiments.api import REAL, SHARE, SKEWED, Claim
from prospect_rl.experiments.metrics import words_of
from prospect_rl.experiments.reports import overview, tables_csv
from prospect_rl.experiments.reports.overview import BEGIN, END, HEADLINES, MARKS, Judged, with_front, write_front
from prospect_rl.experiments.reports.report import BEFORE, CLAIM_HEAD

ROOT = Path(__file__).parents[2]


def claim(name: str, **fields: Any) -> Claim:
    given = {"metric": "eval/return", "env": "maze/hard", "right": "random", "kind": "paper", "scores": REAL} | fields
    return Claim(name, f"{name} is better in goal area 0.", f"table of {name}", left="left", **given)


CLAIMS = (
    (claim("passes", metric="ledger/coverage", scores=SHARE), "PASS", 0.1, 0.3),
    (claim("checked", kind="check", right=None, margin=2.0), "FAIL", 0.5, 1.0),
    (claim("fails", margin=0.5), "FAIL", -0.3, -0.1),
    (claim("open", metric="climb_0", scores=SKEWED, better="lower"), "INCONCLUSIVE", -5.0, 5.0),
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder with the claims of one experiment, of two that are registered, and what verdicts were before."""
    rows = [
        {
            "claim": c.name, "outcome": outcome, "left": "left", "right": c.right or "", "left_mean": 0.6,
            "right_mean": 0.4, "left_seeds": 5, "right_seeds": 4, "left_missing": 0, "right_missing": 1,
            "difference": (low + high) / 2, "low": low, "high": high, "reduced": c.name == "open",
            "method": "Welch's t", "why": f"{c.name} because", "coverage": 0.9 if c.scores == SKEWED else float("nan"),
        }
        for c, outcome, low, high in CLAIMS
    ]  # fmt: skip
    (tmp_path / "made").mkdir()
    tables_csv.write_csv(tmp_path / "made" / "claims.csv", rows, CLAIM_HEAD)
    (tmp_path / BEFORE).write_text("experiment,claim,outcome\nmade,passes,PASS\nmade,fails,PASS\n")
    monkeypatch.setattr(overview, "EXPERIMENTS", {"made": "nowhere", "other": "nowhere"})
    monkeypatch.setattr(overview, "load", lambda name: SimpleNamespace(claims=[c for c, *_ in CLAIMS]))
    return tmp_path


def test_the_overview_counts_papers_claims_and_shows_failures_first(results):
    text = overview.overview(results).read_text("utf-8")
    assert text.startswith("# Results\n\nClaims printed in papers: 1 FAIL, 1 INCONCLUSIVE, 0 NOT RUN, 1 PASS.")
    assert "Checks of ours: 1 FAIL, 0 INCONCLUSIVE, 0 NOT RUN, 0 PASS." in text
    assert "Without committed tables: other." in text
    places = [text.index(words) for words in ("### Failed: 1", "| fails is", "### Inconclusive: 1", "| open is",
              "### Passed: 1", "| passes is", "## Checks of ours", "| checked is")]  # fmt: skip
    assert places == sorted(places)
    assert (
        "| passes is better in the far goal. (table of passes) | coverage: left 0.6, random 0.4 (5 and 3 seeds) |"
        in text
    )
    assert "evaluations from the first reward to .9 in the far goal" in text
    assert "Welch's t, covers 90 % | INCONCLUSIVE (reduced budget)" in text
    assert "1 of 4 verdicts are others now." in text and "| PASS | FAIL | fails because |" in text


def test_a_verdict_has_the_words_of_its_row():
    row = {
        "outcome": "FAIL",
        "difference": "0.3",
        "low": "0.2",
        "high": "0.4",
        "reduced": "1",
        "words": "not below 0.1",
    }
    one = Judged("x", claim("c", right=None, margin=0.1, better="lower"), row)
    assert one.verdict == "FAIL: not below 0.1 (reduced budget)"
    assert one.interval == "0.3 [0.2, 0.4]", "a mean stands as it was measured"


def test_the_front_pages_headlines_are_there_failures_first(monkeypatch):
    monkeypatch.chdir(ROOT)
    known = {(one.experiment, one.claim.name): one for one in overview.judged()}
    methods = " ".join(method for method, *_ in HEADLINES)
    assert all(name in methods for name in ("SERENE", "MEX", "ELMUR", "CDE", "floor", "baseline"))
    for method, experiment, name in HEADLINES:
        assert known[experiment, name].kind == ("check" if method.startswith("baseline") else "paper")
    lines = overview.front_table().splitlines()[2:]
    assert sum("(check of ours)" in line for line in lines) == sum(m.startswith("baseline") for m, *_ in HEADLINES)
    outcomes = [next(word for word in overview.ORDER if f"[{word}" in line) for line in lines]
    assert len(lines) == len(HEADLINES) and outcomes == sorted(outcomes, key=list(overview.ORDER).index)


def test_a_headline_without_a_verdict_is_named(results, monkeypatch):
    monkeypatch.setattr(overview, "HEADLINES", (("SERENE", "made", "passes"), ("SERENE", "made", "gone")))
    with pytest.raises(ValueError, match="row of the table in README.md: claim 'gone' of made"):
        overview.front_table(results)


def test_readme_and_the_pages_are_as_made_from_the_committed_tables(monkeypatch):
    monkeypatch.chdir(ROOT)
    from prospect_rl.experiments import bench

    again = "made anew by: prospect report --all"
    text = Path("README.md").read_text("utf-8")
    assert with_front(text) == text, again
    assert Path("results/README.md").read_text("utf-8") == overview.overview_text(), again
    assert Path("results/bench/README.md").read_text("utf-8") == bench.page_text(), again


def test_only_marked_parts_of_a_readme_are_written(results, monkeypatch, tmp_path):
    monkeypatch.setitem(MARKS, "results", lambda results: "table")
    monkeypatch.setitem(MARKS, "speed", lambda results: "- fast")
    assert write_front(tmp_path) == []
    (tmp_path / "README.md").write_text("of somebody's own")
    assert write_front(tmp_path) == [] and (tmp_path / "README.md").read_text() == "of somebody's own"
    parts = {name: (BEGIN.format(name), END.format(name)) for name in MARKS}
    text = "".join(f"before {begin}old{end} after\n" for begin, end in parts.values())
    made = with_front(text)
    assert "old" not in made and made.count("before") == made.count("after") == 2 and with_front(made) == made
    with pytest.raises(ValueError, match="speed"):
        with_front(text.replace(parts["speed"][1], ""))


def test_words_of_ones_own_metric_are_its_name():
    assert words_of("learn/mine") == "learn/mine"
