"""What a cluster is started with: files that Ray and Kubernetes accept, and an entry point that is ours."""

import json
import shlex
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from jsonschema import validate

from prospect_rl.experiments.api import TIERS
from prospect_rl.experiments.cli import main as cli
from prospect_rl.experiments.register import EXPERIMENTS

FOLDER = Path(__file__).parents[2] / "experiments" / "cluster"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def job():
    return yaml.safe_load((FOLDER / "rayjob.yaml").read_text())


def test_ray_accepts_its_cluster_file():
    ray = Path(find_spec("ray").origin).parent
    made = yaml.safe_load((FOLDER / "ray-cluster.yaml").read_text())
    validate(made, json.loads((ray / "autoscaler" / "ray-schema.json").read_text()))
    with pytest.raises(Exception, match="Additional properties"):
        validate(made | {"start_commands": []}, json.loads((ray / "autoscaler" / "ray-schema.json").read_text()))
    assert len(made["provider"]["worker_ips"]) == made["max_workers"]


def test_the_job_is_a_command_of_ours(job):
    program, command, experiment, *flags = shlex.split(job["spec"]["entrypoint"])
    assert program == "prospect" and command in cli.COMMANDS and experiment in EXPERIMENTS
    assert flags[0] == "--tier" and flags[1] in TIERS


def test_the_job_has_the_form_of_a_rayjob(job):
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] == version("ray")
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert all(mount["name"] in volumes for one in pod["containers"] for mount in one["volumeMounts"])
    variables = yaml.safe_load(job["spec"]["runtimeEnvYAML"])["env_vars"]
    mounted = {mount["mountPath"] for mount in groups[0]["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert all(Path(variables[name]).parts[:2] == ("/", "shared") for name in ("PROSPECT_RUNS", "PROSPECT_CACHE"))
    assert mounted == {"/shared"}


def test_the_image_copies_what_there_is():
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    named = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert named and all((ROOT / word).exists() for word in named)
