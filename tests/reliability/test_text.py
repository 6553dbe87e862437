"""Text files are UTF-8 whatever the locale, and are written aside."""

import ast
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from prospect_rl.experiments.terminal import replace_unencodable

ROOT = Path(__file__).parents[2]
POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PLACE = {"read_text": 0, "write_text": 1, "open": 2, "fdopen": 2, "TextIOWrapper": 1}
"""Where the encoding stands among the arguments of what reads and writes text."""
STRAIGHT = {"experiments/sweeps/work.py"}
"""May write straight to its place: a traceback, which nothing reads, and a pipe."""


def called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def mode(node):
    """How a call opens a file; None for a call that opens none (networks and studies are opened too)."""
    name, given = called(node), {word.arg: word.value for word in node.keywords}
    if name == "open" and isinstance(node.func, ast.Attribute) and not given and not node.args:
        return None
    at = 1 if name == "fdopen" or (name == "open" and isinstance(node.func, ast.Name)) else 0
    said = given.get("mode") or (node.args[at] if len(node.args) > at else ast.Constant("r"))
    return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else None


def of_the_locale(node):
    """Whether a call reads or writes text in the locale's encoding."""
    name, given = called(node), {word.arg for word in node.keywords}
    if "encoding" in given:
        return False
    if name in ("read_text", "write_text", "TextIOWrapper"):
        return len(node.args) <= PLACE[name]
    if name in ("open", "fdopen"):
        return "b" not in (mode(node) or "b")
    if name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile"):
        return "b" not in (mode(node) if node.args or "mode" in given else "b")
    return bool(given & {"text", "universal_newlines"}) and name in ("run", "Popen", "check_output")


@cache
def calls():
    return list(_calls())


def _calls():
    for package in ("agents", "envs", "experiments"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    yield path.relative_to(ROOT).as_posix(), node


def test_no_text_is_read_or_written_in_the_encoding_of_the_locale():
    assert not [f"{path}:{node.lineno}" for path, node in calls() if of_the_locale(node)]


def test_no_text_is_written_straight_to_its_place():
    straight = {
        f"{path}:{node.lineno}" for path, node in calls()
        if called(node) == "write_text" or (called(node) in ("open", "fdopen") and mode(node) in ("w", "wt", "x"))
    }  # fmt: skip
    assert {line.partition(":")[0] for line in straight} <= STRAIGHT, straight


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("p.read_text()", True), ("p.read_text('utf-8')", False), ("p.write_text(x)", True), ("open(p)", True),
        ("p.write_text(x, encoding='utf-8')", False), ("p.open('a')", True), ("p.open('ab+')", False),
        ("p.open(newline='')", True), ("open(p, 'rb')", False), ("os.fdopen(1, 'w')", True), ("core.open(key)", False),
        ("TemporaryFile()", False), ("TemporaryFile('w+')", True), ("subprocess.run(c, text=True)", True),
    ],
)  # fmt: skip
def test_the_search_finds_what_it_should(line, wrong):
    assert of_the_locale(ast.parse(line, mode="eval").body) == wrong


def test_a_report_is_the_same_in_a_locale_without_our_letters(tmp_path):
    shutil.copytree(ROOT / "results" / "mex_lock", tmp_path / "results" / "mex_lock")
    readme = tmp_path / "results" / "mex_lock" / "README.md"
    readme.write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-m", "prospect_rl.experiments", "report", "mex_lock", "--from-summary"], cwd=tmp_path,
        env=os.environ | POSIX | {"PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\u2013" in readme.read_text(encoding="utf-8") and done.stdout.isascii() and b"README.md" in done.stdout


def test_what_the_terminal_lacks_is_printed_all_the_same():
    code = "from prospect_rl.experiments.terminal import out, replace_unencodable\n"
    code += "replace_unencodable(); out().print(f'a {chr(0x2013)} b')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | POSIX, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"a ? b\n"), done.stderr
    replace_unencodable()  # where the streams are none of a terminal too
