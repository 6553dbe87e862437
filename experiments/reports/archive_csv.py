"""Export of a finished run's archive as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.archive import entries
from prospect_rl.experiments.run.reopen import Finished


def export(found: Finished, path: Path) -> int:
    """Write the archive as CSV, one row per entry; returns their number. Raises ValueError if there is no archive."""
    arrays = found.arrays
    if "descriptor" not in arrays or "genome" not in arrays:
        raise ValueError(f"{found.folder} has no archive of policies")
    rows = entries(arrays)
    columns = {name: arrays[name][rows] for name in ("fitness", "area") if name in arrays}
    for name, array in (("descriptor", arrays["descriptor"]), ("gene", arrays["genome"])):
        columns |= {f"{name}_{i}": array[rows, i] for i in range(array.shape[1])}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", *columns])
    for number, values in zip(rows, zip(*columns.values(), strict=True), strict=True):
        writer.writerow([number, *(f"{x:.9g}" if x.dtype.kind == "f" else str(x) for x in values)])
    durable.write(path, text.getvalue().encode())
    return len(rows)
