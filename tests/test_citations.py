"""What the text cites can be opened: links and their anchors, files and modules that are named; no private notes."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("agents", "docs", "envs", "experiments", "results", "tests")
TEXT = {".cc", ".cff", ".csv", ".css", ".html", ".ipynb", ".js", ".md", ".py", ".toml", ".txt", ".yaml"}


def texts() -> Iterator[Path]:
    """All text files but this one, and but runs."""
    yield from (path for path in ROOT.iterdir() if path.suffix in TEXT or path.name in ("LICENSE", "Makefile"))
    for top in TOPS:
        for path in (ROOT / top).rglob("*"):
            inside = path.relative_to(ROOT).parts
            if path.suffix in TEXT and inside[:2] != ("results", "runs") and path != Path(__file__):
                yield path


FILES = sorted(path for path in texts() if path.is_file())
READ = {path: path.read_text(encoding="utf-8") for path in FILES if path.suffix != ".csv" or path.name == "claims.csv"}
PAGES = [path for path in FILES if path.suffix == ".md"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """What of a file is written for readers; of tests the docstrings and comments, since their strings are inputs."""
    if path.suffix == ".py" and name(path).startswith("tests/"):
        return "\n".join(re.findall(r'"""[^"]*"""|#.*', READ[path]))
    return READ[path]


# --- private notes -------------------------------------------------------------------------------------

PRIVATE = re.compile(
    r"\b[Cc]ards?(?:'s)?[,:]? \(?(?:PART )?[A-F]\d|\s\(card\)|\bPART [A-F]\b"
    r"|\b(?:[A-Z]{2,}|[Mm]ethod(?:'s)?) cards?\b|\b[Tt]he card (?:gives|leaves|does|was)\b"
    r"|\b[Tt]he card's (?:counts|numbers|prototype|rules|settings)\b|_the_cards?\b"
)
"""Citations of notes that no reader has. A dataset's card is a record, and games have cards."""


@pytest.mark.parametrize("text", [
    "it does (card A2)", "card A5, A8", "the SERENE card, A4", "the MEX card, A8 (6)", "Card B2: ceil", "the card's A8",
    "the ELMUR card, 2.2", 'the SERENE card, PART C ("ME")', "the card's prototype", "The card leaves open",
    "next state (card).", "form (card, A2.3)", "the properties of the card (A8)", "test_crowding_of_the_card",
])  # fmt: skip
def test_private_notes_are_known_when_seen(text: str):
    assert PRIVATE.search(text)


@pytest.mark.parametrize(
    "text", ["kept with a card and a hash", "the first card's suit", "beside its card: a JSON file"]
)
def test_cards_of_data_and_of_games_are_none(text: str):
    assert not PRIVATE.search(text)


def test_nobody_cites_private_notes():
    flat = {path: re.sub(r"\s+(?:# )?", " ", text) for path, text in READ.items()}
    found = {name(path): PRIVATE.findall(text) for path, text in flat.items() if PRIVATE.search(text)}
    assert not found, found


# --- links ---------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """A heading's anchor on GitHub."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def broken(path: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    lost = []
    for link in re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists():
            lost.append(link)
        elif anchor and anchor not in map(slug, re.findall(r"^#+ (.*)", file.read_text(encoding="utf-8"), re.M)):
            lost.append(link)
    return lost


def test_a_broken_link_is_seen():
    page = ROOT / "docs" / "page.md"
    text = (
        "[a](architecture.md#agents) [b](nowhere.md) [c](architecture.md#nothing) [d](https://example.org/x) `[e](f)`"
    )
    assert broken(page, text) == ["nowhere.md", "architecture.md#nothing"]


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path):
    assert not broken(path, READ[path])


def test_every_page_of_the_docs_is_linked():
    linked = {
        (path.parent / link.partition("#")[0]).resolve()
        for path in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", READ[path])
    }
    assert not {name(path) for path in PAGES if name(path).startswith("docs/") and path not in linked}


# --- files and modules that are named ------------------------------------------------------------------

NAMED = re.compile(
    rf"(?<![\w./*-])(?:(?:{'|'.join(TOPS)})/(?!runs/)[\w./*-]*\.(?:cc|css|ipynb|js|json|md|npz|png|py|txt|yaml)"
    r"|(?:\w+/)*test_[\w*]+\.py)\b"
)
"""A file of ours, from the root, or a test, from any folder of tests. Those of others stand behind their repository."""
DOTTED = re.compile(r"`(?:python -m )?((?:agents|envs|experiments)(?:\.\w+)+)(?:\(\))?`")


@functools.cache
def there(file: str) -> bool:
    """Whether there is a file of that name, or one that fits it."""
    return any(ROOT.glob(file)) or ("test_" in file and any((ROOT / "tests").rglob(file)))


def missing(text: str) -> set[str]:
    """Files that are named and are not there."""
    return {file for file in NAMED.findall(text) if not there(file)}


def nowhere(text: str) -> set[str]:
    """Modules, and names in them, that are named and are not there."""
    lost = set()
    for dotted in DOTTED.findall(text):
        where, rest = ROOT, dotted.split(".")
        while rest and (where / rest[0]).is_dir():
            where /= rest.pop(0)
        file = where / "__init__.py"
        if rest and (where / f"{rest[0]}.py").exists():
            file = where / f"{rest.pop(0)}.py"
        if not file.exists() or (rest and not re.search(rf"\b{rest[0]}\b", file.read_text(encoding="utf-8"))):
            lost.add(dotted)
    return lost


def test_what_is_not_there_is_seen():
    text = "docs/nowhere.md, agents/online/td3.py, tests/agents/test_*.py, core/agents/x.py"
    text += ", test_td3.py and ops/test_none.py"
    assert missing(text) == {"docs/nowhere.md", "ops/test_none.py"}
    assert nowhere(
        "`agents.online.td3.TD3`, `python -m prospect_rl.experiments.bench.floors.pointmaze`, `envs.nothing`"
    ) == {"envs.nothing"}


def test_files_that_are_named_are_there():
    found = {name(path): lost for path in READ if (lost := missing(prose(path)))}
    assert not found, found


def test_modules_that_are_named_are_there():
    found = {name(path): lost for path in FILES if path.suffix in (".md", ".py") and (lost := nowhere(prose(path)))}
    assert not found, found


def test_a_module_that_cites_its_readme_has_one():
    cite = re.compile(r"(?<![\w/])README\.md")
    files = [path for path in FILES if path.suffix == ".py" and name(path).startswith(("agents/", "envs/"))]
    assert not {name(p) for p in files if cite.search(READ[p]) and not p.with_name("README.md").exists()}


def test_places_that_are_named_with_what_is_there_have_it():
    named = {
        place
        for path in PAGES
        if name(path).startswith("docs/")
        for place in re.findall(r"`([\w/]+\.py): (\w+)", READ[path])
    }
    assert len(named) > 20
    assert not [(file, word) for file, word in named if not re.search(rf"\b{word}\b", (ROOT / file).read_text("utf-8"))]
