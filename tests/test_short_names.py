"""In a checkout the short names `agents`, `envs` and `experiments` mean the modules of `prospect_rl`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for top in ("agents", "envs", "experiments")
    for path in (ROOT / top).rglob("*.py")
    if path.name != "__main__.py"
)
LONG_FIRST = "for name in names: import_module(f'prospect_rl.{name}')"
SHORT_FIRST = "for name in names: import_module(name)"
CODE = """
import sys
from importlib import import_module
names = {names!r}
{first}
{second}
twice = [name for name in names if sys.modules[name] is not sys.modules['prospect_rl.' + name]]
wrong = [name for name in names if sys.modules[name].__spec__.name != 'prospect_rl.' + name]
print(len(names), twice, wrong)
"""


def run(code: str, folder: Path = ROOT) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("order", [(LONG_FIRST, SHORT_FIRST), (SHORT_FIRST, LONG_FIRST)], ids=["long", "short"])
def test_a_module_under_two_names_is_one(order):
    names = [name for name in MODULES if not name.endswith(("_torch", "tuning"))]  # these need an extra
    code = CODE.format(names=names, first=order[0], second=order[1])
    assert run(code) == f"{len(names)} [] []"


def test_classes_are_the_same():
    code = (
        "from agents import Serene; from agents.online.td3 import TD3; from envs import make; import prospect_rl.agents"
    )
    code += "; print(Serene is prospect_rl.agents.Serene, TD3 is prospect_rl.agents.TD3, make is prospect_rl.make)"
    assert run(code) == "True True True"


def test_what_is_not_there_is_said():
    code = "import agents\ntry:\n    import agents.nothing\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert "agents.nothing" in run(code)


def test_elsewhere_there_are_no_short_names(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("MINE = True")
    code = "import sys, agents, prospect_rl.agents; print(agents.MINE, prospect_rl.agents.Serene.__name__)"
    assert run(code, tmp_path) == "True Serene"
    gone = "import importlib.util; print([importlib.util.find_spec(name) for name in ('envs', 'experiments')])"
    assert run(gone, tmp_path) == "[None, None]"


@pytest.mark.parametrize("module", ["experiments", "prospect_rl.experiments"])
def test_the_command_line_runs_under_both_names(module):
    done = subprocess.run([sys.executable, "-m", module, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("prospect ")


def test_a_checkout_without_symbolic_links_is_told(tmp_path):
    """It can be imported; it cannot be installed, and setup.py says what to do."""
    for name in ("agents", "envs", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "prospect_rl").mkdir()
    for path in ("prospect_rl/__init__.py", "prospect_rl/short_names.py", "setup.py"):
        (tmp_path / path).write_text((ROOT / path).read_text())
    for name in ("agents", "envs", "experiments"):
        (tmp_path / "prospect_rl" / name).write_text(f"../{name}")  # what git writes there
    assert run("import prospect_rl.envs; print(prospect_rl.envs.__file__)", tmp_path).startswith(str(tmp_path))
    pytest.importorskip("setuptools")
    done = subprocess.run([sys.executable, "setup.py", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "core.symlinks=true" in done.stderr and "Traceback" not in done.stderr
