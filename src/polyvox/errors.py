"""Every error that a user of Polyvox can meet.

Each carries one sentence: where (file, field, place in the stack), what was expected and what came.
"""

from __future__ import annotations


class PolyvoxError(Exception):
    """The base of all Polyvox errors; the command line prints its message and nothing else."""


class TextError(PolyvoxError):
    """The text cannot be spoken: empty, without anything speakable, or not text at all."""


class AddonError(PolyvoxError):
    """An addon is broken or unsafe: its archive, its files, its addon.json or its networks."""


class StackError(AddonError):
    """The stack of an addon does not make a working integration layer."""


class TensorError(PolyvoxError):
    """Tensors have other names, types or axes than their specification says."""


class TargetError(PolyvoxError):
    """A target is unknown, or cannot run this addon."""


class VoiceError(PolyvoxError):
    """A voice, speaker, style or control is unknown, or its value is out of range."""


class AudioError(PolyvoxError):
    """Audio cannot be written, played or encoded."""


class MissingExtraError(PolyvoxError):
    """An optional dependency is not installed; the message holds the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: pip install 'polyvox[{extra}]'"
        )
        self.package = package
        self.extra = extra


class QualityError(PolyvoxError):
    """A voice's quality cannot be measured: its recordings are no reference, or a table would lack its anchors."""
