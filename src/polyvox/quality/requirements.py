"""What the instruments need: the packages of the extra `quality`."""

from __future__ import annotations

from importlib.util import find_spec

from polyvox.errors import MissingExtraError

EXTRA = "quality"
# Module -> what installs it, in the order in which they are missed.
PACKAGES = {
    "soundfile": "soundfile",
    "soxr": "soxr",
    "pesq": "pesq",
    "pystoi": "pystoi",
    "pyworld": "pyworld",
    "pkg_resources": "setuptools<81",  # pyworld imports it
    "speechmos": "speechmos",
    "pocketsphinx": "pocketsphinx",
}


def require() -> None:
    """Refuse before any work is done if a package is missing.

    Raises:
        MissingExtraError: the extra is not installed; the message says how to.
    """
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, EXTRA, "measuring a voice's quality")
