"""Small runs give the digests that are kept in results/golden.json, on a machine that is named there."""

import os

import pytest

from tests import golden

CASES = [pytest.param(case, marks=[pytest.mark.slow] * (case in golden.AGENTS)) for case in golden.CASES]


@pytest.mark.parametrize("case", CASES)
def test_digest(case):
    kept = golden.known().get(golden.here(), {})
    if case not in kept or os.environ.get("NPROC") != "1":
        pytest.skip(f"no digest of {case} is kept for {golden.here()} with {os.environ.get('NPROC', 'all')} threads")
    assert golden.digest(case) == kept[case], "results have changed: if that is meant, write the digests anew"
