"""What lies around a run: variables of the environment, a cache that users share, file systems that lack something."""

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from prospect_rl.envs import cache
from prospect_rl.envs.data import datasets
from prospect_rl.envs.threads import threads
from prospect_rl.experiments import Run
from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.run import durable
from prospect_rl.experiments.run.machine import runs_root
from prospect_rl.experiments.sweeps import workers
from tests import toy_agents, toy_data, toy_envs

# --- variables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["0", "-2", "abc", "1.5", " 1"])
def test_a_bad_number_of_threads_is_one_line(bad, monkeypatch, capsys):
    monkeypatch.setenv("NPROC", bad)
    assert cli.main(["list", "experiments"]) == 2
    said = f"NPROC must be a whole number of at least 1, not {bad!r}"
    assert capsys.readouterr() == ("", f"prospect: {said}\n")
    with pytest.raises(ValueError, match=said):
        Run(toy_agents.Walker(), toy_envs.Point(), budget=100).check(None)


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    assert threads() == 3
    monkeypatch.delenv("NPROC")
    assert threads() == len(os.sched_getaffinity(0))


def test_home_is_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable, folder in (("PROSPECT_RUNS", runs_root), ("PROSPECT_CACHE", cache.folder)):
        monkeypatch.setenv(variable, "~/x")
        assert folder() == tmp_path / "x"
        monkeypatch.setenv(variable, "~nobody-of-this-name/x")
        with pytest.raises(ValueError, match=f"{variable} is in an unknown home folder: ~nobody"):
            folder()
    monkeypatch.delenv("PROSPECT_RUNS"), monkeypatch.delenv("PROSPECT_CACHE")
    assert (runs_root(), cache.folder()) == (Path("results/runs"), tmp_path / ".cache" / "prospect")


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_that_is_too_long_for_sockets_is_named_with_the_remedy(variable, monkeypatch):
    def init(**_):
        raise OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /tmp/a")

    for name in ("RAY_ADDRESS", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "/tmp/" + "a" * 110)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(
        ValueError, match=rf"^the path in {variable} is too long .*: set RAY_TMPDIR to a shorter folder"
    ):
        workers.connect(2)


# --- a cache that users share ------------------------------------------------------------------------


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_modes_that_the_umask_leaves(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        cache.write(tmp_path / "cached", lambda file: file.write(b"x"))
        durable.write(tmp_path / "durable", b"x")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"cached": mode, "durable": mode}


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    recipe = toy_data.Cues()
    monkeypatch.setattr(datasets, "recipe", lambda name: recipe)
    monkeypatch.setenv("PROSPECT_CACHE", str(tmp_path))
    datasets.make("cues")
    monkeypatch.setattr(datasets, "_read", refuse)
    (path, _) = datasets.paths("cues", recipe)
    with pytest.raises(ValueError, match=rf"^{path} cannot be read: Permission denied; set \$PROSPECT_CACHE to"):
        datasets.make("cues")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match="cannot be written: Permission denied"):
        cache.write(tmp_path / "a", lambda file: None)


# --- file systems ------------------------------------------------------------------------------------


def test_a_file_system_that_syncs_no_folders_will_do(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse(file):
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(file)

    monkeypatch.setattr(os, "fsync", refuse)
    durable.write(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"
