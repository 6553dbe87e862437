"""Checkpoints are exact, whole or absent; a damaged one is named and skipped."""

import json
import os
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prospect_rl.experiments.run import checkpoint, durable
from tests.crashes import CrashError


def tree(scale=1):
    return {
        "params": [jnp.arange(6.0).reshape(2, 3) * scale, jnp.asarray([1.5, jnp.nan, -jnp.inf], jnp.bfloat16)],
        "count": jnp.int32(-3), "mask": jnp.asarray([True, False]), "words": jnp.asarray([2**32 - 1], jnp.uint32),
        "empty": jnp.zeros((0, 4)), "half": jnp.float16(0.1), "bytes": jnp.asarray([250], jnp.uint8),
        "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
    }  # fmt: skip


def save(folder, iteration, score=None, scale=1):
    return checkpoint.save(
        folder, tree(scale), {"iteration": iteration, "config_hash": "abc", "score": score, "metrics_bytes": 1}
    )


def load(folder, template=None, config_hash="abc"):
    notices = []
    found = checkpoint.newest(folder, tree() if template is None else template, config_hash, notices.append)
    return found, notices


def bits(x):
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in checkpoint.flatten(x).items()}


def test_every_type_comes_back_to_the_bit(tmp_path):
    save(tmp_path, 7)
    (found, manifest), notices = load(tmp_path)
    assert bits(found) == bits(tree()) and jax.tree.structure(found) == jax.tree.structure(tree())
    assert manifest["iteration"] == 7 and not notices
    assert checkpoint.digest(found) == checkpoint.digest(tree()) != checkpoint.digest(tree(2))
    assert load(tmp_path / "nothing") == (None, [])


def test_the_last_two_and_the_best_are_kept(tmp_path):
    for iteration, score in [(1, 0.5), (2, 0.9), (3, None), (4, 0.9), (5, 0.1), (6, None)]:
        save(tmp_path, iteration, score)
    assert [int(p.name) for p in checkpoint.steps(tmp_path)] == [2, 5, 6]


def truncate(path):
    os.truncate(path / checkpoint.STATE, 100)


def flip(path):
    data = bytearray((path / checkpoint.STATE).read_bytes())
    data[-3] ^= 1
    (path / checkpoint.STATE).write_bytes(data)


def flip_manifest(path):
    text = (path / checkpoint.MANIFEST).read_text()
    (path / checkpoint.MANIFEST).write_text(text.replace('"metrics_bytes": 1', '"metrics_bytes": 3'))


def forge(path, **changes):
    manifest = json.loads((path / checkpoint.MANIFEST).read_text()) | changes
    manifest.pop("sha256")
    manifest["sha256"] = durable.hash_of(manifest)
    (path / checkpoint.MANIFEST).write_text(json.dumps(manifest))


def disguise(path):
    data = pickle.dumps({"a": 1})
    (path / checkpoint.STATE).write_bytes(data)
    forge(path, files={checkpoint.STATE: {"bytes": len(data), "sha256": durable.sha256(data)}})


DAMAGES = {
    "truncated": (truncate, r"state\.safetensors has 100 of \d+ bytes"),
    "flipped": (flip, r"state\.safetensors has been altered"),
    "no state": (lambda path: (path / checkpoint.STATE).unlink(), r"state\.safetensors is missing"),
    "no manifest": (lambda path: (path / checkpoint.MANIFEST).unlink(), r"manifest\.json is missing"),
    "half a manifest": (lambda path: os.truncate(path / checkpoint.MANIFEST, 40), r"manifest\.json is not readable"),
    "altered manifest": (flip_manifest, r"manifest\.json has been altered"),
    "a path": (lambda p: forge(p, files={"../x": {"bytes": 1, "sha256": ""}}), r"outside the checkpoint: '\.\./x'"),
    "a pickle": (disguise, r"state\.safetensors is not readable"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(tmp_path, damage):
    harm, reason = DAMAGES[damage]
    save(tmp_path, 1, scale=1)
    save(tmp_path, 2, scale=2)
    harm(checkpoint.steps(tmp_path)[-1])
    (found, manifest), notices = load(tmp_path)
    assert manifest["iteration"] == 1 and bits(found) == bits(tree(1))
    assert len(notices) == 1 and "000000000002" in notices[0]
    assert re.search(reason, notices[0]), notices[0]
    save(tmp_path, 3)
    assert [int(p.name) for p in checkpoint.steps(tmp_path)] == [1, 3], "the damaged one is gone"


def test_all_damaged_is_an_error_every_time(tmp_path):
    for iteration in (1, 2):
        flip(save(tmp_path, iteration))
    for _ in range(2):
        with pytest.raises(ValueError, match="all 2 checkpoints in .* are damaged"):
            load(tmp_path)


def test_a_damaged_older_one_does_not_hinder_saving(tmp_path):
    (save(tmp_path, 1) / checkpoint.MANIFEST).write_text("{")
    save(tmp_path, 2)
    save(tmp_path, 3)
    assert [int(p.name) for p in checkpoint.steps(tmp_path)] == [2, 3]


def test_what_does_not_fit_is_refused_by_name(tmp_path):
    save(tmp_path, 1)
    whole = tree()
    with pytest.raises(ValueError, match=r"\['count'\] is int32\[\], the run needs float32\[\]"):
        load(tmp_path, whole | {"count": jnp.float32(0)})
    with pytest.raises(ValueError, match=r"\['mask'\] is bool\[2\], the run needs bool\[3\]"):
        load(tmp_path, whole | {"mask": jnp.zeros(3, bool)})
    with pytest.raises(ValueError, match=r"lacks \['more'\]"):
        load(tmp_path, whole | {"more": jnp.zeros(3)})
    with pytest.raises(ValueError, match=r"contains \['mask'\]"):
        load(tmp_path, {name: x for name, x in whole.items() if name != "mask"})
    with pytest.raises(ValueError, match="belongs to run abc, not xyz"):
        load(tmp_path, config_hash="xyz")
    forge(checkpoint.steps(tmp_path)[0], schema=2)
    with pytest.raises(ValueError, match="schema 2; this version reads schema 1"):
        load(tmp_path)


def test_a_random_key_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"random key at \['k'\]"):
        checkpoint.flatten({"k": jax.random.key(0)})


def test_a_crash_between_any_two_operations_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """Every call that touches the disk in turn is the last one that the process makes."""
    real = {name: getattr(os, name) for name in ("fsync", "rename", "mkdir")} | {
        "save_file": checkpoint.save_file, "rmtree": checkpoint.shutil.rmtree,
    }  # fmt: skip
    left = [0]

    def counted(name):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise CrashError
            return real[name](*args, **kwargs)

        return call

    crashes = 0
    for last in range(30):
        folder = tmp_path / str(last)
        save(folder, 1), save(folder, 2, scale=2)
        left[0] = last
        with monkeypatch.context() as patch:
            for name in ("fsync", "rename", "mkdir"):
                patch.setattr(os, name, counted(name))
            patch.setattr(checkpoint, "save_file", counted("save_file"))
            patch.setattr(checkpoint.shutil, "rmtree", counted("rmtree"))
            try:
                save(folder, 3, scale=3)
            except CrashError:
                crashes += 1
        (found, manifest), notices = load(folder)
        assert manifest["iteration"] in (2, 3) and not notices
        assert bits(found) == bits(tree(manifest["iteration"]))
        save(folder, 4)
        assert not list(folder.glob(f"{checkpoint.TEMPORARY}*"))
        if left[0] > 0:
            break
    assert 6 <= crashes < 30, "every operation has been the last one, and the last try had none to spare"
