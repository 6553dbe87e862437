"""Generation of the site's files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from prospect_rl.experiments.register import EXPERIMENTS, load
from prospect_rl.experiments.reports.report import RESULTS
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.site import experiment, front
from prospect_rl.experiments.site.html import Html, element
from prospect_rl.experiments.site.results import Results, read


def write(results: Path = RESULTS, out: Path | None = None) -> list[Path]:
    """Write the front page and the pages of all experiments with committed claims under `results`; returns their paths.

    out: folder of the pages, by default `results`/site. Raises ValueError if tables do not match the declarations.
    """
    out = out or results / "site"
    every = [read(load(name), results / name) for name in EXPERIMENTS if (results / name / "claims.csv").exists()]
    out.mkdir(parents=True, exist_ok=True)
    return [
        save(out / "index.html", "Prospect: results", front.page(every, results / "bench")),
        *(_page(one, out) for one in every),
    ]


def _page(results: Results, out: Path) -> Path:
    name = results.experiment.name
    return save(out / f"{name}.html", f"{results.experiment.title} - Prospect", experiment.page(results))


def save(path: Path, title: str, body: Html) -> Path:
    """Write a page with all of its style and script inside."""
    parts = {
        name: files("prospect_rl.experiments.site").joinpath(name).read_text("utf-8")
        for name in ("page.html", "style.css", "sort.js")
    }
    page = Template(parts["page.html"]).substitute(
        title=element("title", title), body=body, style=parts["style.css"], script=parts["sort.js"]
    )
    durable.write(path, page.encode())
    return path
