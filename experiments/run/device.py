"""The device of a run: its kind, what a process is told before JAX starts, and what a GPU that cannot be used lacks.

JAX is imported by the last functions alone: a parent that starts Ray first asks everything else here.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from prospect_rl.experiments.run.compiler import GPU, flag

KINDS = ("cpu", "gpu")
"""Kinds of device. The kind is part of a run's configuration, and left out of it for the CPU."""
CHOICES = ("auto", *KINDS)
PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu"}
"""Kind -> JAX_PLATFORMS. A program on a GPU calls back into Python through the CPU."""
DRIVERS = {"jax-cuda12-plugin": 525, "jax-cuda13-plugin": 580}
"""Package with JAX's part for NVIDIA GPUs -> the oldest line of drivers that it works with (JAX's own statement)."""
MEMORY = 0.9
"""Fraction of a GPU's memory that runs share; the rest is for what CUDA itself keeps for each process."""
INSTALL = 'pip install "prospect-rl[cuda]"'


@dataclass(frozen=True)
class Facts:
    """What can be seen of a machine's NVIDIA GPUs without CUDA."""

    nodes: int = 0
    """Number of GPUs that the driver shows to this process (/dev/nvidia0, ...)."""
    card: bool = False
    """Whether the PCI bus has an NVIDIA display controller, with or without a driver."""
    driver: str | None = None
    """Version of the driver; None if there is none, or if this process may not see it."""
    models: tuple[str, ...] = ()
    """Names of the GPUs, if the driver tells."""
    plugin: tuple[str, str] | None = None
    """(package, version) of JAX's part for NVIDIA GPUs."""
    jaxlib: str = ""
    """Version of the jaxlib package."""
    visible: str | None = None
    """Value of CUDA_VISIBLE_DEVICES, if it is set."""

    @property
    def count(self) -> int:
        """Number of GPUs that this process may use."""
        if self.visible is None:
            return self.nodes
        return min(self.nodes, len([name for name in self.visible.split(",") if name.strip() not in ("", "-1")]))


def probe() -> Facts:
    """Look at this machine."""
    nodes = len(glob("/dev/nvidia[0-9]*")) or int(Path("/dev/dxg").exists())  # the latter under WSL
    told = re.search(r"Kernel Module.*?\s(\d+\.\d[\d.]*)", _text("/proc/driver/nvidia/version"))
    models = [
        re.search(r"Model:\s*(.+)", _text(path)) for path in sorted(glob("/proc/driver/nvidia/gpus/*/information"))
    ]
    plugins = [(name, version) for name in DRIVERS if (version := _version(name))]
    return Facts(
        nodes, any(map(_is_display, glob("/sys/bus/pci/devices/*"))), told and told[1],
        tuple(found[1].strip() for found in models if found), plugins[0] if plugins else None, _version("jaxlib") or "",
        os.environ.get("CUDA_VISIBLE_DEVICES"),
    )  # fmt: skip


def _is_display(pci: str) -> bool:
    return _text(f"{pci}/vendor").strip() == "0x10de" and _text(f"{pci}/class").startswith("0x03")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing(facts: Facts) -> str | None:
    """What is missing for a run on a GPU, in words; None if nothing is."""
    if not facts.nodes:
        if facts.card or facts.driver:
            return "there is an NVIDIA GPU, but no driver that shows it (in a container: start it with --gpus all)"
        return "this machine has no NVIDIA GPU"
    if not facts.count:
        return f"CUDA_VISIBLE_DEVICES={facts.visible} hides every GPU"
    if facts.plugin is None:
        return f"there is a GPU, but jax is installed without CUDA: {INSTALL}"
    name, version = facts.plugin
    if version != facts.jaxlib:
        return f"{name} {version} does not fit jaxlib {facts.jaxlib}: {INSTALL}"
    if facts.driver and int(facts.driver.partition(".")[0]) < DRIVERS[name]:
        return f"the driver {facts.driver} is too old for {name}, which needs {DRIVERS[name]} or newer"
    return None


def count() -> int:
    """Number of GPUs that runs can use on this machine; 0 if anything is missing for that."""
    facts = probe()
    return 0 if missing(facts) else facts.count


# --- choosing ----------------------------------------------------------------------------------------


def asked(given: str = "auto", *, elsewhere: bool = False) -> str:
    """The kind that is asked for, or auto, which is left for each run to decide.

    JAX_PLATFORMS decides if it is set. elsewhere: runs are on other machines, so that this one needs no GPU. Raises
    ValueError, in one line, if the two contradict each other, or if a GPU is asked for and cannot be used.
    """
    if platforms := os.environ.get("JAX_PLATFORMS"):
        first = platforms.split(",")[0]
        named = "gpu" if first in ("cuda", "rocm") else first
        if given not in ("auto", named):
            raise ValueError(f"--device {given} contradicts JAX_PLATFORMS={platforms}: leave one of them out")
        return named
    if given == "gpu" and not elsewhere and (why := missing(probe())):
        raise ValueError(f"no GPU can be used: {why}")
    return given


def share_of(workers: int | None, gpus: float) -> float:
    """The share of a GPU that each of this many runs at once gets, at least a quarter.

    Three or four runs of PPO with 256 environments fill one large GPU; with more, each only gets slower.
    """
    return min(1.0, max(0.25, gpus / workers)) if workers else 0.25


def environment(device: str, share: float = 1.0) -> dict[str, str]:
    """Environment variables of a process whose runs are on a kind of device, with this share of a GPU's memory.

    What the user has set stays: flags in XLA_FLAGS go before ours, and the same flag is not given twice.
    """
    variables = {"JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS") or PLATFORMS.get(device, f"{device},cpu")}
    if device != "gpu":
        return variables
    before = os.environ.get("XLA_FLAGS", "")
    ours = [flag(name, value) for name, value in GPU.items() if f"--{name}" not in before]
    if share < 1 and "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ:
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{MEMORY * share:.3g}"
    return variables | {"XLA_FLAGS": " ".join(filter(None, [before, *ours]))}


# --- JAX ---------------------------------------------------------------------------------------------


def keep_off() -> None:
    """Keep JAX on the CPU in a process that runs nothing itself, so that its workers have the whole GPU."""
    import jax

    jax.config.update("jax_platforms", "cpu")


def start(device: str) -> str:
    """Let JAX use a kind of device, unless it has started; returns the kind that it uses."""
    import jax

    variables = environment(device)
    jax.config.update("jax_platforms", variables.pop("JAX_PLATFORMS"))
    os.environ.update(variables)  # XLA reads its flags when JAX starts
    return backend()


def backend() -> str:
    """The kind of device that JAX uses in this process. Raises ValueError, in one line, if it cannot start."""
    import jax

    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # the latter where no platform of JAX_PLATFORMS is installed
        raise ValueError(f"JAX cannot start: {missing(probe()) or ' '.join(str(error).split())}") from None


def check(device: str) -> None:
    """Raise ValueError, in one line, if JAX uses another kind of device in this process."""
    if (found := backend()) == device:
        return
    why = missing(probe()) if device == "gpu" else None
    raise ValueError(
        f"the run is for a {device}, but JAX uses the {found} in this process: "
        + (why or "choose the device before anything else uses JAX")
    )
