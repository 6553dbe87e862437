"""Links of a built site that lead nowhere or to a network: `python -m tests.site_links FOLDER` prints them and fails.

A page may name others' pages, but what it loads is its own; whatever is its own must be there, its anchors too.
"""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        """Addresses that a browser asks for by itself."""
        self.named: list[str] = []
        """Addresses for readers to follow."""
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if "src" in found:
            self.loaded.append(found["src"])
        if "href" in found:
            (self.named if tag in ("a", "area") else self.loaded).append(found["href"])
        self.loaded += re.findall(r"url\(['\"]?([^'\")]+)", found.get("style", ""))


@cache
def read(path: Path) -> Page:
    return Page(path)


def wrong(site: Path) -> list[str]:
    """A line for each link, of all pages and style sheets under a folder, that leads nowhere or to a network."""
    site, lines = site.resolve(), []
    for path in sorted(site.rglob("*.html")):
        page = read(path)
        lines += [
            f"{path.relative_to(site)}: {said}" for x in page.loaded if (said := fault(site, path, x, loads=True))
        ]
        lines += [
            f"{path.relative_to(site)}: {said}" for x in page.named if (said := fault(site, path, x, loads=False))
        ]
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        links = re.findall(r"url\(['\"]?([^'\")]+)|@import ['\"]([^'\"]+)", text)
        found = (fault(site, path, a or b, loads=True) for a, b in links)
        lines += [f"{path.relative_to(site)}: {said}" for said in found if said]
    return lines


def fault(site: Path, path: Path, link: str, *, loads: bool) -> str | None:
    """What is wrong with one link of a file; None where nothing is."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        asks = parts.scheme != "data" and (loads or parts.scheme not in ("https", "http", "mailto"))
        return f"{link} is not of this site" if asks else None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if parts.path.startswith("/") or not target.is_relative_to(site):
        return f"{link} leads out of the site"
    if not target.is_file():
        return f"{link} is not there"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
        return f"{link} names no place in its page"
    return None


if __name__ == "__main__":
    found = wrong(Path(sys.argv[1]))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
