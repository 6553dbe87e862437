"""What pyproject.toml cannot say: a checkout without symbolic links has no packages to install."""

from pathlib import Path

from setuptools import setup

if not (Path(__file__).parent / "prospect_rl" / "agents").is_dir():
    raise SystemExit(
        "prospect_rl/agents is no folder: this checkout was made without symbolic links. Clone it again with "
        "`git clone -c core.symlinks=true`, or install a source archive (`python -m build --sdist` makes one)."
    )
setup()
