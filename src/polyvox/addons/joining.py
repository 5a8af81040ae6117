"""What must hold before two addons make a voice and a caller's wishes fit it, told from their addon.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

from polyvox.addons.manifest import Control, Manifest
from polyvox.errors import VoiceError


def check_join(manifest: Manifest, vocoder: Manifest | None) -> None:
    """Check that an addon speaks, alone or through `vocoder`.

    Raises:
        VoiceError: the two do not make a voice.
    """
    if manifest.kind == "vocoder" or manifest.text is None:
        raise VoiceError(f"'{manifest.name}' is a vocoder, which speaks no text; load an acoustic addon with it")
    if (vocoder is None) != (manifest.kind == "speech"):
        wanted = "no vocoder, it makes audio itself" if vocoder else "a vocoder"
        raise VoiceError(f"'{manifest.name}' is of kind '{manifest.kind}' and needs {wanted}")
    if vocoder is None:
        return
    if vocoder.kind != "vocoder":
        raise VoiceError(f"'{vocoder.name}' is of kind '{vocoder.kind}', expected a vocoder")
    differing = manifest.features.differing(vocoder.features)
    if differing:
        ours, theirs = manifest.features, vocoder.features
        each = ", ".join(f"{n} ({getattr(ours, n)} and {getattr(theirs, n)})" for n in differing)
        raise VoiceError(f"'{manifest.name}' and '{vocoder.name}' do not join, their features differ in {each}")


def joined_controls(manifest: Manifest, vocoder: Manifest | None) -> dict[str, Control]:
    """The controls of the voice that two addons make; where both have one of a name, the acoustic addon's."""
    return {name: control for m in (vocoder, manifest) if m for name, control in m.controls.items()}


def check_controls(voice: str, known: Mapping[str, Control], given: Mapping[str, float]) -> None:
    """Check the values that a caller gives for a voice's controls.

    Raises:
        VoiceError: a control is unknown or its value out of range.
    """
    for name, value in given.items():
        if name not in known:
            raise VoiceError(f"voice '{voice}' has no control '{name}'; it has {', '.join(known) or 'none'}")
        limits = known[name]
        if isinstance(value, bool) or not isinstance(value, Real) or not limits.minimum <= value <= limits.maximum:
            raise VoiceError(
                f"'{name}' of voice '{voice}' must be {limits.minimum:g} to {limits.maximum:g}"
                f"{' ' + limits.unit if limits.unit else ''}, not {value!r}"
            )
