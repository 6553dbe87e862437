"""Settings of `make docs`: the pages of this repository and its API as a site that needs no network.

Sphinx reads the whole repository, so that a page's links mean what they mean there: to another page, or to a file,
which is copied. A line `<!-- modules: FOLDER -->` of a page stands for all modules in that folder.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

project = "Prospect"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/*/*.md", "envs/*/README.md", "experiments/cluster/README.md",
                    "results/*.md", "results/*/README.md"]  # fmt: skip
exclude_patterns = [".venv*", "build", "results/runs"]
myst_heading_anchors = 4
html_theme = "furo"
html_copy_source = False
autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True,
                           "member-order": "bysource", "exclude-members": "replace"}  # fmt: skip
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"


def modules(folder: str) -> str:
    """A heading and the contents of every module in a folder and its subfolders."""
    parts = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.name != "__init__.py":
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            parts.append(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: prospect_rl.{name}\n```\n")
    return "\n".join(parts)


def expand(app: Any, page: str, text: list[str]) -> None:
    """Insert the modules that a page asks for."""
    text[0] = re.sub(r"^<!-- modules: (\S+) -->$", lambda found: modules(found[1]), text[0], flags=re.M)


SECTIONS = ("Args:", "Returns:", "Raises:")


def plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text, with code in backticks and equations indented: say so in reStructuredText.

    What is indented under Args, Returns and Raises becomes a list, everything else that is indented a literal block.
    """
    made: list[str] = []
    for indented, group in groupby(lines, key=lambda line: line.startswith("    ")):
        block = list(group)
        if not indented:
            made += escaped("\n".join(block)).splitlines()
        elif made and made[-1] in SECTIONS:
            made[-1] = f"**{made[-1][:-1]}**"
            made += ["", *items(block), ""]
        else:
            made += ["", "::", "", *block, ""]
    lines[:] = made


def items(block: list[str]) -> list[str]:
    """The entries of a section, indented by four spaces, as a list; deeper lines continue an entry."""
    entries: list[str] = []
    for line in block:
        if line.startswith("        ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    return [f"- {escaped(entry)}" for entry in entries]


def escaped(text: str) -> str:
    """Plain text as reStructuredText, with code in backticks as literals."""
    pieces = re.split(r"`+([^`]+)`+", text)
    pieces[::2] = [re.sub(r"([\\*|_<>])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"\\ ``{' '.join(code.split())}``\\ " for code in pieces[1::2]]
    return "".join(pieces)


def front(app: Any, error: Exception | None) -> None:
    """Write an index.html that leads to the first page."""
    if error is None:
        to = f"{root_doc}.html"
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={to}"><a href="{to}">{project}</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Any) -> None:
    """Connect the functions above to Sphinx."""
    app.connect("source-read", expand)
    app.connect("autodoc-process-docstring", plain)
    app.connect("build-finished", front)
