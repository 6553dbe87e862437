"""The package as a whole: what imports what, what is installed, and that its metadata agree with each other."""

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TOP = ("agents", "envs", "experiments")
SOURCES = sorted(path.relative_to(ROOT) for top in TOP for path in (ROOT / top).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def nodes(tree: ast.AST, running: bool) -> Iterator[ast.AST]:
    """All nodes of a file; `running`: but for what is there for types alone."""
    for node in ast.iter_child_nodes(tree):
        if not (running and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from nodes(node, running)


@functools.cache
def imported(path: Path, running: bool = False) -> frozenset[str]:
    """Dotted names of all that a file imports, without `prospect_rl.`; `from a import b` gives both a and a.b."""
    found: set[str] = set()
    for node in nodes(ast.parse((ROOT / path).read_text()), running):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    assert not {name for name in found if name.partition(".")[0] in TOP}, f"{path} imports a short name"
    return frozenset(name.removeprefix("prospect_rl.") for name in found)


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def test_sources_are_found():
    assert Path("agents/api.py") in SOURCES and Path("envs/api.py") in SOURCES and Path("experiments/api.py") in SOURCES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_import_direction(path: Path):
    own = {name for name in imported(path) if name.partition(".")[0] in {*TOP, "tests"}}
    if path.parts[0] == "agents":
        doors = ("envs.api", "envs.fields", "envs.names")
        wrong = {n for n in own if not n.startswith(("agents", *doors)) and n != "envs"}
        assert not wrong and ("envs" not in own or own & {*doors}), f"agents import only agents, {doors}: {wrong}"
    elif path.parts[0] == "envs":
        assert not {n for n in own if not n.startswith("envs")}
    assert not {n for n in own if n.startswith("tests")}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_heavy_imports_have_their_place(path: Path):
    used = tops(path)
    doors = {Path("experiments/sweeps/workers.py"), Path("experiments/searches/tuning.py")}
    assert "ray" not in used or path in doors, "Ray has two doors: what runs jobs, and what asks Tune who stops"
    assert "matplotlib" not in used or path.parts[0] == "experiments", "pictures are made by reports"
    assert "minari" not in used or path == Path("envs/data/minari.py"), "Minari has one door"
    assert not used & {"torch", "stable_baselines3"}, "extras are for users and tests"


OUTER = [f"prospect_rl.experiments.{name}" for name in ("terminal", "cli", "sweeps", "reports", "run.bar")]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "from prospect_rl import agents, envs; import prospect_rl.envs.rollout",
            ("ray", "matplotlib", "gymnasium", "mujoco", "torch", "minari", "h5py"),
        ),
        (
            "from prospect_rl.experiments import api, bench, register; import prospect_rl.experiments.cli.search; "
            "from prospect_rl.experiments.sweeps import sweep, workers",
            ("jax", "ray", "matplotlib"),
        ),
        (  # JAX itself brings argparse, and Flax rich: what uses them here must stay away
            "from prospect_rl.experiments import train",
            ("rich.live", "rich.progress", "ray", "matplotlib", "gymnasium", "PIL", *OUTER),
        ),
        (
            "import prospect_rl; prospect_rl.__version__",
            ("jax", "rich", "numpy", "gymnasium"),
        ),
    ],
)
def test_imports_stay_light(statement: str, absent: tuple[str, ...]):
    code = f"{statement}\nimport sys\nprint(*sorted(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


PACKAGES = sorted({path.parent for path in SOURCES})


def test_every_package_says_what_it_is():
    for folder in PACKAGES:
        path = ROOT / folder / "__init__.py"
        assert path.exists() and ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
    assert (ROOT / "prospect_rl" / "py.typed").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_one_top_level_links_to_the_three():
    top = ROOT / "prospect_rl"
    assert {path.name for path in top.iterdir()} - {"__pycache__"} == {
        "__init__.py",
        "short_names.py",
        "py.typed",
        *TOP,
    }
    assert all((top / name).resolve() == ROOT / name for name in TOP)


def test_no_module_imports_itself_by_way_of_others():
    """No ring of imports, those inside functions included (but not those for types alone)."""
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
    uses = {name: {n for n in imported(path, running=True) if n in modules} - {name} for name, path in modules.items()}
    # `from package import module` names the package too, which is no more than the way there
    uses = {
        name: {n for n in found if not any(other.startswith(f"{n}.") for other in found)}
        for name, found in uses.items()
    }
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a ring: {' -> '.join([*way[way.index(name) :], name])}"
        if name not in done:
            for other in sorted(uses[name]):
                walk(other, (*way, name))
            done.add(name)

    for name in modules:
        walk(name, ())


ROOMS = ("run", "sweeps", "reports", "searches", "bench", "site", "cli", "__main__")
"""The rooms of experiments/, each of which may use those before it."""


@pytest.mark.parametrize("path", [path for path in SOURCES if path.parts[:1] == ("experiments",)], ids=str)
def test_rooms_have_one_direction(path: Path):
    room = path.with_suffix("").parts[1]
    used = {name.split(".")[1] for name in imported(path, running=True) if name.startswith("experiments.")}
    if room in ROOMS:
        assert not used & {*ROOMS[ROOMS.index(room) + 1 :], "papers"}
    elif room in ("api", "metrics", "metrics_page", "options", "register", "search_space", "terminal"):
        assert not used & {*ROOMS, "papers", "bench", "recipes"}
    elif room == "papers":
        assert not used & {*ROOMS, "bench"}, "an experiment is a declaration"


def test_files_and_functions_are_short():
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in SOURCES}
    assert not {path for path, length in lengths.items() if length > 350}
    assert len([path for path, length in lengths.items() if length > 300]) <= 6, {
        path: n for path, n in lengths.items() if n > 300
    }
    for path in SOURCES:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name} has more than 60 lines"


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_are_exact_and_fit():
    pinned = pins()
    wanted = PROJECT["dependencies"] + [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    for requirement in map(Requirement, wanted):
        assert pinned[normal(requirement.name)] in requirement.specifier, f"{requirement} against its pin"
        assert requirement.specifier, f"{requirement.name} has no bound"


def test_one_version_everywhere():
    version = PROJECT["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M).group(1) == version


def test_command_exists():
    module, function = PROJECT["scripts"]["prospect"].removeprefix("prospect_rl.").split(":")
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# --- make --------------------------------------------------------------------------------------------


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"
    }  # of an outer make
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_make_help_lists_every_target():
    from prospect_rl.experiments.register import EXPERIMENTS

    shown = {line.split()[0] for line in make("help").stdout.splitlines() if line.startswith("  ")}
    written = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert shown == written | set(EXPERIMENTS)
    assert make().stdout == make("help").stdout, "help is what a bare `make` does"


def test_every_experiment_is_a_target():
    from prospect_rl.experiments.register import EXPERIMENTS

    for name in EXPERIMENTS:
        planned = make("-n", name, "TIER=smoke", "SEEDS=2", "WORKERS=1", "AGENTS=a,b").stdout.replace("\\\n", "")
        asked = " ".join(planned.split()).partition(" -m prospect_rl.experiments ")[2]
        assert name in asked and "--tier smoke --seeds 2 --workers 1 --agents a,b" in asked


def test_an_unknown_target_gives_one_line():
    done = make("serene_mazze")
    assert done.returncode != 0 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "serene_mazze" in done.stderr and "make help" in done.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("serene_maze TEIR=repro", "unknown variable TEIR; did you mean TIER?"),
        ("demo CC=gcc", "unknown variable CC; known: AGENTS, "),
        ("lint VERBOSE=1", "unknown variable VERBOSE; known: "),
        ("test TIER=repro", "make test takes no TIER"),
        ("NAME=x", "make help takes no NAME"),
    ],
)
def test_a_variable_that_make_does_not_take_is_one_line(words: str, line: str):
    done = make("-n", *words.split())
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and line in done.stderr


def test_a_target_takes_what_its_help_says():
    for words in ("serene_maze TIER=smoke AGENTS=a", "test JOBS=2", "sweep EXPERIMENT=x SEEDS=2", "soak MINUTES=2",
                  "kills TIMES=1", "report NAME=x", "search EXPERIMENT=x TRIALS=2", "bench NAME=x",
                  "lint PYTHON=python3"):  # fmt: skip
        assert make("-n", *words.split()).returncode == 0, words
    text = (ROOT / "Makefile").read_text()
    for target, recipe in re.findall(r"^([a-z-]+):(.*\n(?:\t.*\n)+)", text, re.M):
        used = set(re.findall(r"\$\((?:if \$\(|or \$\()?([A-Z]+)", recipe.split("##", 1)[1].partition("\n")[2]))
        named = set(re.findall(r"([A-Z]+)=", recipe.partition("\n")[0]))
        assert used - {"RUN", "BIN", "STAMP", "VENV", "PYTHON", "EXPERIMENTS", "DECLARED"} == named, target


def test_a_commit_is_held_to_what_make_lint_does():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"], "nothing is downloaded"
    commands = [hook["entry"] for hook in hooks[0]["hooks"]]
    assert commands == make("-n", "lint").stdout.rpartition(".set-up\n")[2].splitlines()
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks[0]["hooks"])


def test_continuous_integration_runs_the_readmes_commands():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == ["make lint", "make test", "make demo"]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)


def test_tests_import_each_other_in_one_way():
    """As `tests.x`: nothing but the checkout's root is on the path."""
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for path in (ROOT / "tests").rglob("*.py"):
        assert not helpers & set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.M)), path


def test_the_environment_does_not_choose_for_make(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NAME", "somebody-elses")
    assert "somebody-elses" not in make("-n", "bench").stdout


def test_the_page_on_reliability_names_tests_that_there_are() -> None:
    named = re.findall(r"`([a-z_/0-9]+\.py)`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / "tests" / name).is_file()]
