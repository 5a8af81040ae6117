"""Fixtures of all tests: tiny voices, made once."""

from __future__ import annotations

import pytest
from hypothesis import settings

import tiny

settings.register_profile("polyvox", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("polyvox")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with `tim` (acoustic), `tom` (its vocoder) and `tam` (speech). Do not change what is in it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.acoustic(folder / "tim")
    tiny.vocoder(folder / "tom")
    tiny.speech(folder / "tam")
    return folder


@pytest.fixture(scope="session")
def voice(tiny_folder):
    """A loaded tiny voice; it keeps nothing of what it spoke, so all tests share it."""
    import polyvox

    loaded = polyvox.load(tiny_folder / "tim")
    yield loaded
    loaded.close()


@pytest.fixture
def registered(monkeypatch):
    """Like `polyvox.block`, for this test only."""
    from polyvox.blocks import registry

    monkeypatch.setattr(registry, "_types", dict(registry._types))
    return registry.block
