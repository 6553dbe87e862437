"""Tables of floors: what actions at random and scripted players get, in the README of a family of environments.

A learner's figure means something only beside these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prospect_rl.envs import cache

BEGIN, END = "<!-- floors -->", "<!-- end of floors -->"


def renew(
    readme: Path, columns: Sequence[str], row: Callable[[str], str], ids: Mapping[str, str], names: Sequence[str]
) -> None:
    """Renew the rows of the named environments, or of all, in the table between its marks in a README.

    ids: name on the command line -> id, in the table's order. row(id): the row, which begins with name or id in
    backquotes. Exits with one line where a name is unknown or the marks are missing.
    """
    if strange := set(names) - set(ids):
        sys.exit(f"no such environment: {', '.join(sorted(strange))}")
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    old, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{readme} lacks the marks {BEGIN} and {END}")
    found = [row(id) for name, id in ids.items() if not names or name in names]
    rows = {line.split("`")[1]: line for line in [*old.splitlines(), *found] if "`" in line}
    table = [rows[label] for pair in ids.items() for label in dict.fromkeys(pair) if label in rows]
    head = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    text = "\n".join([before + BEGIN, *head, *table, END + after])
    cache.write(readme, lambda file: file.write(text.encode()))
