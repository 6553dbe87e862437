"""The site that `make docs` makes: its links are checked, its pages name all that there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import site_links

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

PAGE = """<html><head><link rel="stylesheet" href="look.css">{head}</head>
<body id="top"><a href="#top">up</a> <a href="https://example.org/paper">a paper</a> {body}</body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "look.css").write_text("a { background: url(data:image/png;base64,AA) }")
    (tmp_path / "more pages").mkdir()
    (tmp_path / "more pages" / "b.html").write_text('<p id="here"><a href="../a.html#top">back</a>')
    return tmp_path


def test_a_site_of_its_own_is_right(site):
    body = '<a href="more%20pages/b.html#here">on</a> <a href="mailto:a@example.org">post</a> <img src="data:,x">'
    (site / "a.html").write_text(PAGE.format(head="", body=body))
    assert site_links.wrong(site) == []
    assert subprocess.run([sys.executable, "-m", "tests.site_links", site], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        (
            '<script src="https://cdn.example.org/x.js"></script>',
            "",
            "https://cdn.example.org/x.js is not of this site",
        ),
        ('<link href="//fonts.example.org/x.css">', "", "//fonts.example.org/x.css is not of this site"),
        ("", '<p style="background: url(http://example.org/x.png)">', "http://example.org/x.png is not of this site"),
        ("", '<a href="c.html">', "c.html is not there"),
        ("", '<a href="more%20pages/">', "more%20pages/ is not there"),
        ("", '<img src="/a.png">', "/a.png leads out of the site"),
        ("", '<a href="../../x.py">', "../../x.py leads out of the site"),
        ("", '<a href="file:///etc/hosts">', "file:///etc/hosts is not of this site"),
        ("", '<a href="more%20pages/b.html#there">', "more%20pages/b.html#there names no place in its page"),
    ],
)
def test_what_is_wrong_with_a_site_is_seen(site, head, body, said):
    (site / "a.html").write_text(PAGE.format(head=head, body=body))
    assert site_links.wrong(site) == [f"a.html: {said}"]


def test_a_style_sheet_that_asks_a_network_is_seen(site):
    (site / "a.html").write_text(PAGE.format(head="", body=""))
    (site / "look.css").write_text('@import "https://example.org/a.css"; a { src: url("b.woff") }')
    assert site_links.wrong(site) == ["look.css: https://example.org/a.css is not of this site",
                                      "look.css: b.woff is not there"]  # fmt: skip


def test_the_pages_on_python_have_every_agent_and_environment():
    from prospect_rl.agents import AGENTS
    from prospect_rl.envs import ENVS

    text = "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    folders = tuple(re.findall(r"^<!-- modules: (\S+) -->$", text, re.M))
    assert all((ROOT / folder).is_dir() for folder in folders)
    named = set(re.findall(r"automodule:: (\S+)", text))
    modules = {cls.__module__ for cls in AGENTS.values()} | {place.partition(":")[0] for place in ENVS.values()}
    shown = {name for name in modules if name.removeprefix("prospect_rl.").replace(".", "/").startswith(folders)}
    assert modules - shown - named == set()


@pytest.mark.slow
def test_the_site_is_made_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")  # where it is not installed, `make docs` does the same in an environment of its own
    command = [sys.executable, "-m", "sphinx", "-c", "docs", "-W", "--keep-going", "-q", ".", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert site_links.wrong(tmp_path) == []
