"""Pictures of archives over environments with descriptors of any number of dimensions."""

from types import SimpleNamespace

import numpy as np
import pytest

from prospect_rl.envs.api import Box
from prospect_rl.experiments.reports import plots


@pytest.mark.parametrize("d", [1, 2, 3])
def test_archives_of_any_dimension_are_drawn(d, tmp_path):
    env = SimpleNamespace(spec=SimpleNamespace(id="own/task", descriptor=Box((d,), -1.0, 3.0)))
    arrays = {
        "explored": np.ones((50,) * min(d, 2), np.int32), "fitness": np.array([0.0, 1.0]),
        "descriptor": np.linspace(-1, 3, 2 * d).reshape(2, d),
    }  # fmt: skip
    named = {f"own/task|me|{name}": x for name, x in arrays.items()}
    assert plots.draw_archives(named, {"own/task": env}, ["me"], tmp_path / "archive.png")
    plots.draw_path(env, arrays["descriptor"], "a path", tmp_path / "path.png")
    assert min((tmp_path / name).stat().st_size for name in ("archive.png", "path.png")) > 1000


def test_one_dimension_lies_on_a_line():
    np.testing.assert_array_equal(plots.in_plane(np.array([[0.5], [2.0]])), [[0.5, 0], [2.0, 0]])
    np.testing.assert_array_equal(plots.limits(Box((1,), -1.0, 3.0)), [[-1, -1], [3, 1]])
    np.testing.assert_array_equal(plots.limits(Box((3,), (0.0, 1.0, 2.0), 3.0)), [[0, 1], [3, 3]])
