"""The site from committed files made by hand: its markup, its figures, and how a browser shows it."""

import base64
import json
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest

from prospect_rl.agents import NoveltySearch, RandomSearch
from prospect_rl.experiments.api import REAL, SKEWED, Claim, Experiment, Tier
from prospect_rl.experiments.cli.main import main
from prospect_rl.experiments.reports import records, tables_csv
from prospect_rl.experiments.reports.report import CLAIM_HEAD, read_claims
from prospect_rl.experiments.site import build, charts, front, html
from prospect_rl.experiments.site.results import drawn_curves, improvements, profiles, read

ENVS = ("point/sparse", "maze/hard")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCORES = {"novelty": [0.5, 0.6, 0.7], "<random> & co": [0.1, 0.2, 0.6]}


@pytest.fixture
def experiment():
    agents = {"novelty": NoveltySearch(neighbours=7), "<random> & co": RandomSearch()}
    paper = {"novelty": NoveltySearch(), "<random> & co": RandomSearch(), "absent": RandomSearch()}
    claims = (
        Claim("wide <r>", "Wider than `random`", 'a "figure"', "ledger/coverage", ENVS[0], "novelty", "<random> & co",
              kind="paper", scores=REAL),
        Claim("late", "Is there", "nobody", "ledger/first_0", ENVS[1], "novelty", margin=3.0, better="lower",
              kind="check", scores=SKEWED),
    )  # fmt: skip
    return Experiment(
        "synthetic", "A <synthetic> experiment", "Made by `hand` & <eye>.", "nobody",
        Tier(agents, ENVS, seeds=3, budget=10), Tier(agents, ENVS, seeds=3, budget=1000, evals=2),
        Tier(paper, ENVS, seeds=15, budget={ENVS[0]: 1000, ENVS[1]: 5000}, evals=2), claims,
        metrics=("ledger/coverage", "ledger/first_0"),
    )  # fmt: skip


@pytest.fixture
def results(experiment, tmp_path, monkeypatch):
    """A folder like `results`: one experiment with its tables and a picture, one bench."""
    folder = tmp_path / "results" / "synthetic"
    folder.mkdir(parents=True)
    head = {
        "tier": "repro", "budget": 1000, "used": 1000, "unit": "evaluations", "wall_minutes": 1.5, "date": "2023-11-14",
        "digest": "d", "versions": "jax 1.2",
    }  # fmt: skip
    cells = [(env, label, seed) for env in ENVS for label in SCORES for seed in range(3)]
    rows = [
        head | {"env": env, "label": label, "seed": seed, "hash": f"{env}{label}{seed}"}
        | {"ledger/coverage": SCORES[label][seed], "ledger/first_0": np.nan if label != "novelty" else 100.0 + seed}
        for env, label, seed in cells
    ]  # fmt: skip
    tables_csv.write_csv(folder / "summary.csv", rows, records.HEAD)
    points = [
        {"env": env, "label": label, "metric": metric, "used": used, "seeds": 3, "mean": y, "iqm": y}
        | {"low": y - 0.1, "high": y + 0.1}
        for env in ENVS for label in SCORES for metric in ("ledger/coverage", "ledger/first_0")
        for used, y in ((500, 0.3), (1000, 0.6 if label == "novelty" else np.nan))
    ]  # fmt: skip
    tables_csv.write_csv(folder / "curves.csv", points, records.CURVE_HEAD)
    numbers = {
        "left_seeds": 3,
        "right_seeds": 3,
        "left_missing": 0,
        "right_missing": 0,
        "margin": 0.0,
        "left_planned": 3,
        "right_planned": 3,
        "left": "novelty",
    }
    claims = [
        numbers | {"claim": "wide <r>", "outcome": "PASS", "left_mean": 0.6, "right": "<random> & co",
                   "right_mean": 0.3, "difference": 0.3, "low": 0.1, "high": 0.5, "p": 0.05, "reduced": True},
        numbers | {"claim": "late", "outcome": "NOT RUN", "right": "", "reduced": False},
    ]  # fmt: skip
    tables_csv.write_csv(folder / "claims.csv", claims, CLAIM_HEAD)
    (folder / "archive.png").write_bytes(base64.b64decode(PIXEL))
    bench = {
        "ratio_of_iterations": 9.5, "iteration_ms": 7.25, "machine": {"cpu": "<cpu>", "cores": 2}, "threads": 1,
        "versions": {"jax": "1.2"}, "date": "2023-11-14", "command": "make bench NAME=replay",
    }  # fmt: skip
    (tmp_path / "results" / "bench").mkdir()
    (tmp_path / "results" / "bench" / "replay.json").write_text(json.dumps(bench))
    monkeypatch.setattr(build, "EXPERIMENTS", {"synthetic": "nowhere", "other": "nowhere"})
    monkeypatch.setattr(build, "load", lambda name: experiment)
    return tmp_path / "results"


class Page(HTMLParser):
    """Parses strictly: every element is closed, and in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.sources, self.text, self.names = [], [], [], [], "", set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice in {tag}"
        self.names.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        assert tag not in ("a", "button") or not {"a", "button"} & set(self.open), "one thing to press in another"
        if tag not in (*html.VOID, "link", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        self.text += data if self.open and self.open[-1] not in ("style", "script") else ""


def pages(results):
    return {path.name: Page(path.read_text()) for path in build.write(results)}


def test_every_page_parses_and_its_links_resolve(results):
    found = pages(results)
    assert list(found) == ["index.html", "synthetic.html"]
    for name, page in found.items():
        assert len(page.ids) == len(set(page.ids)), f"an id twice in {name}"
        for link in page.links:
            target, _, fragment = link.partition("#")
            assert link == "data:," or ((target or name) in found), link
            assert not fragment or fragment in found[target or name].ids, link
    assert "synthetic.html#claim-wide-r" in found["index.html"].links


def test_pages_fetch_nothing(results):
    for path in build.write(results):
        text = path.read_text()
        assert not re.search(r"https?://|@import|url\(", text), path
        assert all(source.startswith("data:image/png;base64,") for source in Page(text).sources)
    assert Page(text).sources == [f"data:image/png;base64,{PIXEL}"]


def test_text_is_escaped_and_told(results):
    front, page = (Page(path.read_text()) for path in build.write(results))
    assert not {"r", "eye", "random", "synthetic", "cpu"} & (front.names | page.names)
    for words in ("A <synthetic> experiment", "Made by hand & <eye>.", "<random> & co", 'a "figure"', "0.3[0.1, 0.5]",
                  "novelty: 0.6 (3 of 3)", "make synthetic TIER=repro", "12 of 12 seeds finished",
                  "NOT RUN", "Is thereevaluations to the first reward in the far goal, maze/hard"):  # fmt: skip
        assert words in page.text, words
    for words in (
        "1 PASS",
        "0 NOT RUN",
        "0 FAIL",
        "checks of ours: 1 NOT RUN",
        "wide <r>",
        "ratio_of_iterations",
        "9.5",
        "7.25",
    ):
        assert words in front.text, words
    assert "9.5at most" in front.text, "a bench has its target"


def test_what_is_worse_comes_first_and_says_how(results):
    path = results / "synthetic" / "claims.csv"
    wide, late = read_claims(path)
    tables_csv.write_csv(path, [wide, late | {"outcome": "FAIL", "words": "not below 3"}], CLAIM_HEAD)
    front, page = (file.read_text() for file in build.write(results))
    assert front.index("late</a>") > front.index("wide &lt;r&gt;</a>"), "checks of ours stand below papers' claims"
    assert "not below 3</small>" in page and "not below 3</small>" in front


def test_a_claim_is_a_card_on_a_narrow_screen(results):
    front, page = (file.read_text() for file in build.write(results))
    for text in (front, page):
        assert '<table class="sortable stacked">' in text
        assert '<td data-head="difference or mean [95 %]"' in text and '<td data-head="statement" class="words"' in text
    assert ".stacked td { display: block; }" in page and ".stacked thead { display: none; }" in page


def test_differences_from_the_paper_are_marked(results):
    text = build.write(results)[1].read_text()
    assert '<td class="differs">7<small>paper: ' in text
    assert f"<td>{ENVS[0]}</td><td>1,000</td><td>1,000</td>" in text
    assert f'<td>{ENVS[1]}</td><td class="differs">1,000</td><td class="differs">5,000</td>' in text
    assert '<td class="differs">3</td><td class="differs">15</td>' in text
    assert '<td>novelty</td><td class="differs">7</td><td class="differs">15</td>' in text
    assert "absent</td>" in text, "an agent of the paper that was not run"


def test_the_same_files_give_the_same_bytes(results, tmp_path):
    first = [path.read_bytes() for path in build.write(results, tmp_path / "a")]
    assert [path.read_bytes() for path in build.write(results, tmp_path / "b")] == first


def test_an_empty_folder_gives_a_front_page(results):
    shutil.rmtree(results / "synthetic")
    (path,) = build.write(results)
    assert "0 PASS" in Page(path.read_text()).text


def test_claims_of_another_declaration_are_refused(results):
    path = results / "synthetic" / "claims.csv"
    path.write_text(path.read_text().replace("late", "later"))
    with pytest.raises(ValueError, match="contains later, which synthetic does not declare"):
        build.write(results)


def test_report_all_writes_the_site(results, monkeypatch, capsys):
    monkeypatch.chdir(results.parent)
    for module in ("prospect_rl.experiments.cli.report", "prospect_rl.experiments.reports.overview"):
        monkeypatch.setattr(f"{module}.EXPERIMENTS", {})
    assert main(["report", "--all"]) == 0
    assert capsys.readouterr().out.split() == [
        "results/README.md",
        "results/UNDECIDED.md",
        "results/gpu/README.md",
        "results/bench/README.md",
        "results/site/index.html",
        "results/site/synthetic.html",
    ]
    assert (results / "site" / "synthetic.html").exists()


def test_its_files_are_installed():
    found = {path.name for path in files("prospect_rl.experiments.site").iterdir()}
    assert {"page.html", "style.css", "sort.js"} <= found


# --- figures -----------------------------------------------------------------------------------------


def test_comparisons_by_hand(experiment, results):
    found = read(experiment, results / "synthetic")
    assert found.scores == ["ledger/coverage"], "more is not better of a first reward"
    shares = improvements(found, ENVS, "ledger/coverage")
    # .5 and .7 beat (2 and 3 of 3), .6 beats two and ties with one: 2 + 2.5 + 3 of 9 pairs.
    share, low, high = shares["novelty", "<random> & co"]
    assert share == pytest.approx(7.5 / 9) and low < share <= high <= 1
    assert shares["<random> & co", "novelty"] == pytest.approx((1 - share, 1 - high, 1 - low))
    lines = profiles(found, ENVS[:1], "ledger/coverage")
    assert (lines["novelty"].x[0], lines["novelty"].x[-1]) == (0.0, 0.7)
    assert lines["<random> & co"].middle[[0, -1]].tolist() == [1.0, 0.0]
    assert not profiles(found, ENVS[:1], "ledger/reached_0"), "nobody has such a metric"


def test_curves_of_nothing_are_not_drawn(experiment, results):
    path = results / "synthetic" / "curves.csv"
    path.write_text(
        path.read_text().replace("random> & co,ledger/coverage,500,3,0.3,0.3", "random> & co,ledger/coverage,500,3,,")
    )
    found = drawn_curves(read(experiment, results / "synthetic"))
    assert list(found[ENVS[0], "ledger/coverage"]) == ["novelty"]
    assert found[ENVS[0], "ledger/coverage"]["novelty"].x.tolist() == [500, 1000]


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 500_000, 4, [0, 200_000, 400_000]),
        (0, 12, 5, [0, 2.5, 5, 7.5, 10]),
        (-3, 7, 5, [-2, 0, 2, 4, 6]),
        (2, 2, 5, [2]),
    ],
)
def test_ticks_are_round(low, high, count, expected):
    assert charts.ticks(low, high, count) == pytest.approx(expected)


def test_a_missing_value_breaks_a_line():
    y = np.array([0.0, 1.0, np.nan, 1.0, 0.0])
    line = charts.Line(np.arange(5.0), y, y, y)
    chart = charts.line_chart({"a": line}, ["a"], title="t", x_name="x", xs=(0.0, 4.0))
    (path,) = re.findall(r'<path d="([^"]*)" class="line', chart)
    assert path == "M46.0 194.0L117.0 8.0M259.0 8.0L330.0 194.0"


def test_a_ninth_agent_is_told_from_the_first():
    labels = [str(i) for i in range(9)]
    assert (charts.colour(labels, "0"), charts.colour(labels, "8")) == ("c0 d0", "c0 d1")


def test_markup_escapes():
    assert html.element("a", "<b>", href='"') == '<a href="&quot;">&lt;b&gt;</a>'
    assert html.element("p", html.element("b", "x"), ["&", None], class_="k") == '<p class="k"><b>x</b>&amp;</p>'
    assert '<th scope="row">a_<wbr>&lt;b</th><td>c_d</td>' in html.table(["x", "y"], [["a_<b", "c_d"]], caption="t")
    assert html.prose("a `b<c`") == "a <code>b&lt;c</code>"


def test_experiments_with_the_same_agents_share_a_table():
    def of(*labels):
        return SimpleNamespace(labels=labels)

    every = [of("a", "b"), of("b", "c", "d"), of("x", "a", "y", "z"), of("x", "y")]
    assert front.families(every) == [[every[0], every[1], every[2], every[3]]]
    every = [of("a", "b", "c"), of("x", "y", "a"), of("b", "c", "d")]
    assert front.families(every) == [[every[0], every[2]], [every[1]]]


# --- in a browser ------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<script>
const table = document.querySelector("#scores table"), said = [];
const press = (column) => {
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  button.focus();
  document.activeElement.click();
  const names = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
  said.push(button.closest("th").getAttribute("aria-sort") + ":" + names);
};
press(1); press(1); press(0);
document.querySelectorAll("details").forEach((part) => { part.open = true; });
said.push(innerWidth, document.documentElement.scrollWidth <= document.documentElement.clientWidth);
document.body.replaceChildren(said.join("|"));
</script></body>"""


def browse(path, tmp_path, *options):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--enable-logging=stderr", "--virtual-time-budget=5000", *options, "--dump-dom",
               path.as_uri()]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
def test_a_browser_shows_and_sorts(results, tmp_path):
    front, page = build.write(results)
    for path in (front, page):
        told = browse(path, tmp_path)
        assert "CONSOLE" not in told.stderr, told.stderr
        assert "<button" in told.stdout
    inner = escape(front.read_text().replace("</body>", PROBE))
    show = "document.body.replaceChildren(this.contentDocument.body.textContent)"
    # A window is at least 500 pixels wide; a frame may be as narrow as a phone.
    front.write_text(f'<iframe width="360" height="800" srcdoc="{inner}" onload="{show}"></iframe>')
    told = browse(front, tmp_path)
    assert "CONSOLE" not in told.stderr, told.stderr
    body = re.search(r"<body>(.*)</body>", told.stdout, re.S).group(1)
    names = "novelty", "&lt;random&gt; &amp; co"
    assert body.strip().split("|") == [
        f"descending:{names[0]},{names[1]}", f"ascending:{names[1]},{names[0]}",
        f"ascending:{names[1]},{names[0]}", "360", "true",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")
def test_an_error_in_a_page_would_be_seen(tmp_path):
    (tmp_path / "page.html").write_text("<script>throw new Error('here')</script>")
    assert "CONSOLE" in browse(tmp_path / "page.html", tmp_path).stderr
