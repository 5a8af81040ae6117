"""The whole public surface."""

import inspect
import re
import subprocess
import sys

import pytest

import polyvox
from polyvox import errors


def test_the_surface_is_what_it_says():
    assert set(polyvox.__all__) == {
        "Choice",
        "PolyvoxError",
        "SequenceBlock",
        "StreamableBlock",
        "Voice",
        "__version__",
        "block",
        "choose",
        "load",
    }
    assert all(hasattr(polyvox, name) for name in polyvox.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", polyvox.__version__)


def test_every_error_is_a_polyvox_error_and_says_when_it_comes():
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == "polyvox.errors"]
    assert len(found) >= 8
    for error in found:
        assert issubclass(error, polyvox.PolyvoxError)
        assert error.__doc__


def test_a_missing_extra_holds_the_command_that_installs_it():
    error = errors.MissingExtraError("soundfile", "files", "writing .flac files")
    assert str(error).endswith("pip install 'polyvox[files]'")
    assert (error.package, error.extra) == ("soundfile", "files")


@pytest.mark.parametrize(
    "module", ["polyvox", "polyvox.addons", "polyvox.choosing", "polyvox.script", "polyvox.windows"]
)
def test_importing_has_no_side_effects(module):
    """No runtime, no plots, no sound device, and nobody else's logging or threads are touched."""
    code = f"""
import logging, sys, threading
before = list(logging.root.handlers), logging.root.level
import {module}
assert (list(logging.root.handlers), logging.root.level) == before
assert threading.active_count() == 1
late = {{"onnxruntime", "matplotlib", "soundfile", "sounddevice", "torch", "espeakng_loader"}} & set(sys.modules)
assert not late, late
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_imports_point_one_way():
    """Each layer imports only the layers below it, as DESIGN.md says."""
    from pathlib import Path

    below = {
        "errors": set(),
        "tensors": {"errors"},
        "windows": {"errors", "tensors"},
        "text": {"errors"},
        "audio": {"errors", "tensors"},
        "networks": {"errors", "tensors", "windows"},
        "blocks": {"errors", "tensors", "windows", "networks"},
        "addons": {"errors", "tensors", "windows", "networks", "blocks", "text"},
    }
    root = Path(polyvox.__file__).parent
    for layer, allowed in below.items():
        paths = [root / f"{layer}.py"] if (root / f"{layer}.py").is_file() else sorted((root / layer).rglob("*.py"))
        assert paths
        for path in paths:
            imported = set(re.findall(r"^\s*(?:from|import) polyvox\.(\w+)", path.read_text("utf-8"), re.MULTILINE))
            assert imported - {layer} <= allowed, path
