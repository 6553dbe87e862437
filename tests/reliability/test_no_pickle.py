"""Nothing in the packages can be made to run code by a file that it reads."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = re.compile(
    r"\bpickle\b\s*(\.|import)|^\s*(import|from)\s+(pickle|cloudpickle|dill|joblib)\b"
    r"|cloudpickle|allow_pickle\s*=\s*True|(?<![\w.])eval\(|(?<![\w.])exec\(|yaml\.(unsafe_)?load\b|marshal\.loads?",
    re.MULTILINE,
)
FILES = [path for package in ("agents", "envs", "experiments") for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_pattern_finds_what_it_is_for():
    bad = ["import pickle", "from pickle import loads", "x = pickle.load(f)", "np.load(f, allow_pickle=True)"]
    bad += ["cloudpickle.dumps(x)", "y = eval(text)", "yaml.load(f)"]
    good = ["# no pickle anywhere", "yaml.safe_load(f)", "self.eval(x)", "jax.eval_shape(f)"]
    good += ["np.load(f, allow_pickle=False)"]
    assert all(FORBIDDEN.search(line) for line in bad) and not any(FORBIDDEN.search(line) for line in good)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_is_loaded_from_data(path):
    assert not FORBIDDEN.search(path.read_text())
