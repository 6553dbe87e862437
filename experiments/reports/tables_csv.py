"""Tables as CSV files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prospect_rl.experiments.run import durable

Row = dict[str, Any]
"""A row of a table: column name -> value."""
TEXT = ("tier", "env", "label", "unit", "digest", "hash", "date", "versions", "device")
"""Columns that contain text."""


def write_csv(path: Path, rows: Sequence[Row], head: Sequence[str]) -> None:
    """Write rows with the columns `head` first, then the others in order of appearance; missing values are empty."""
    columns = list(dict.fromkeys([*head, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_cell(row.get(name, math.nan)) for name in columns] for row in rows])
    durable.write(path, text.getvalue().encode())


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{float(value):.9g}"  # nine digits represent a float32 exactly
    return str(value)


def read_text_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, cells by column) of a table. Raises ValueError, naming file and line, for a malformed row."""
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True)
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path} has a different number of cells in line {reader.line_num} than in its header")
            yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not readable: {error}") from None


def read_csv(path: Path) -> list[Row]:
    """Read the rows of `write_csv`: text columns as text, all others as float (NaN for an empty cell)."""
    return [{name: _value(path, line, name, word) for name, word in row.items()} for line, row in read_text_csv(path)]


def _value(path: Path, line: int, name: str, word: str) -> Any:
    if name in TEXT or name == "metric":
        return word
    try:
        return float(word or "nan")
    except ValueError:
        raise ValueError(f"{path} has no number under {name} in line {line}: {word!r}") from None
