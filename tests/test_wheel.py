"""What is installed: one top level, which lives beside packages that are called `agents` and `envs`."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[1]
OTHERS = ("openai-agents", "envs")
"""Packages of other people with a top level called `agents` and one called `envs`."""
CODE = """
import agents, envs, prospect_rl, prospect_rl.agents, prospect_rl.envs, prospect_rl.experiments.run.train
print(agents.Agent.__module__.partition('.')[0], hasattr(envs, 'env'), prospect_rl.__version__)
env = prospect_rl.make('point/sparse')
print(prospect_rl.agents.Agent.__module__, env.spec.id, prospect_rl.train.__module__)
"""


def run(*words: str | Path, folder: Path = ROOT) -> str:
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone of what is committed, with its links."""
    folder = tmp_path_factory.mktemp("clone") / "prospect"
    run("git", "clone", "--quiet", ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, checkout)
    return next(folder.glob("*.whl"))


def environment(folder: Path) -> Path:
    """The Python of a fresh environment that finds our dependencies in this one (but not this checkout)."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_has_one_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"prospect_rl"}
    inside = {name for name in names if name.endswith(".py")}
    source = {f"prospect_rl/{path.relative_to(ROOT)}" for top in ("agents", "envs", "experiments")
              for path in (ROOT / top).rglob("*.py")}  # fmt: skip
    assert inside == source | {"prospect_rl/__init__.py", "prospect_rl/short_names.py"}
    native = [f"envs/native/{name}" for name in ("batch.cc", "batch.h", "cuda.cc")]
    for name in ("py.typed", *native, "envs/mujoco/pendulum.xml", "experiments/site/style.css"):
        assert f"prospect_rl/{name}" in names


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
def test_it_lives_beside_others_of_these_names(wheel, tmp_path, ours_first):
    python = environment(tmp_path / "env")
    packages = [[wheel, "--no-deps"], [*OTHERS]]
    for words in packages if ours_first else packages[::-1]:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words)
    said = run(python, "-c", CODE, folder=tmp_path).splitlines()
    assert said[0].startswith("agents True 0.1.0")
    assert said[1] == "prospect_rl.agents.api point/sparse prospect_rl.experiments.run.train"
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *OTHERS)
    assert run(python, "-c", "import prospect_rl.agents; print(prospect_rl.make('maze/hard').spec.id)", folder=tmp_path)
    listed = run(tmp_path / "env" / "bin" / "prospect", "list", "envs", "--family", "maze", folder=tmp_path)
    assert "maze/hard" in listed


def test_a_source_archive_installs(checkout, tmp_path):
    code = "from setuptools.build_meta import build_sdist; import sys; print(build_sdist(sys.argv[1]))"
    python = environment(tmp_path / "env")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "setuptools>=77")
    name = run(python, "-c", code, tmp_path, folder=checkout).splitlines()[-1]
    with tarfile.open(tmp_path / name) as archive:
        assert not [member for member in archive.getmembers() if member.issym()], "it needs no symbolic links"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", tmp_path / name)
    said = run(python, "-c", "import prospect_rl.agents as a; print(a.Serene.__module__)", folder=tmp_path)
    assert said.strip() == "prospect_rl.agents.evolution.serene.serene"
