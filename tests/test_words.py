"""What a newcomer reads first is in words: docstrings, the docs of fields, and the help of every flag."""

import argparse
import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from prospect_rl import agents, envs
from prospect_rl.experiments.cli import main
from prospect_rl.experiments.options import options_of
from prospect_rl.experiments.register import EXPERIMENTS

ROOT = Path(__file__).parents[1]
PACKAGES = ("agents", "envs", "experiments")
FEWEST = 4
"""Words of a field's doc and of a flag's help."""
HELPED = (
    ["run", "ppo"], ["run", next(iter(EXPERIMENTS))], ["sweep", next(iter(EXPERIMENTS))],
    *([name] for name in main.COMMANDS if name not in ("run", "sweep")), [],
)  # fmt: skip


@cache
def sources(package: str) -> dict[str, ast.Module]:
    """Path -> syntax tree of each module of a package."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def doc_of(node: ast.stmt) -> str | None:
    """The text of a statement that is a string, in one line."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return None


def sentence(text: str) -> bool:
    """Whether a flag's help has enough words and ends with a period or with its default."""
    return len(text.split()) >= FEWEST and bool(re.search(r"(\.|\(default: .*\))$", text))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_doc_of_a_field_has_four_words(package):
    short = []
    for path, tree in sources(package).items():
        for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            for field, below in zip(cls.body, cls.body[1:], strict=False):
                text = doc_of(below)
                if isinstance(field, ast.AnnAssign) and text is not None and len(text.split()) < FEWEST:
                    short.append(f"{path}: {cls.name}.{ast.unparse(field.target)}: {text}")
    assert not short, "\n".join(short)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_docstring_is_a_single_word(package):
    kinds, short = (ast.Module, ast.ClassDef, ast.FunctionDef), []
    for path, tree in sources(package).items():
        for node in (node for node in ast.walk(tree) if isinstance(node, kinds)):
            name, text = getattr(node, "name", ""), ast.get_docstring(node)
            if text is not None and len(text.split()) < 2 and not re.match(r"_(?!_)", name):
                short.append(f"{path}: {name}: {text}")
    assert not short, "\n".join(short)


@pytest.mark.parametrize("name", agents.AGENTS)
def test_the_help_of_an_agents_flags_is_a_sentence(name):
    short = [f"{option.name}: {option.text}" for option in options_of(agents.AGENTS[name]) if not sentence(option.text)]
    assert not short, "\n".join(short)


def test_the_help_of_environments_flags_is_a_sentence():
    short = set()
    for target in set(envs.ENVS.values()):
        module, name = target.split(":")
        made = getattr(import_module(module), name)
        cls = made if isinstance(made, type) else type(made())
        short |= {f"{cls.__name__}.{x.name}: {x.text}" for x in options_of(cls) if not sentence(x.text)}
    assert not short, "\n".join(sorted(short))


@pytest.mark.parametrize("words", HELPED, ids=" ".join)
def test_the_help_of_a_commands_flags_is_a_sentence(words, monkeypatch):
    parsers = []

    def keep(parser: argparse.ArgumentParser, *_: object) -> None:
        parsers.append(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "print_help", keep)
    assert main.main([*words, "--help"]) == 0 and len(parsers) == 1
    short = []
    for action in parsers[0]._actions:
        said = (action.help or "").replace("%%", "%")
        hidden = action.help == argparse.SUPPRESS or "--help" in action.option_strings
        if not hidden and not sentence(said):
            short.append(f"{'/'.join(action.option_strings) or action.dest}: {said}")
    assert not short, "\n".join(short)
