"""Versions of installed packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str | None:
    """The version of an installed package; None for one that is imported from its folder, as in a checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
