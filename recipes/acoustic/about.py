"""What an exported addon says of itself: `addon.json`."""

from __future__ import annotations

from dataclasses import dataclass

from recipes.features import CONTRACT

VERSION = "0.2.0"
# Steps of Euler's method, and how much of the noise.
FLOW = {"steps": 4, "temperature": 0.667}
CONTROLS = {
    "speed": {"default": 1.0, "minimum": 0.5, "maximum": 2.0, "unit": "times"},
    "pitch": {"default": 0.0, "minimum": -6.0, "maximum": 6.0, "unit": "semitones"},
    "energy": {"default": 0.0, "minimum": -6.0, "maximum": 6.0, "unit": "dB"},
}


@dataclass(frozen=True, slots=True)
class About:
    """What an addon says of itself."""

    name: str
    language: str
    speakers: dict[str, str]  # the BCP 47 tag of what each speaks
    license: str
    data: str
    max_tokens: int


def manifest(about: About, step: int, networks: dict[str, dict[str, object]]) -> dict[str, object]:
    """`addon.json`."""
    languages = list(dict.fromkeys(about.speakers.values()))
    flows = "velocity" in networks
    decoder: list[dict[str, object]] = [{"type": "Decoder", **({"network": "decoder"} if flows else {})}]
    if flows:
        decoder.append({"type": "FlowDecoder", "network": "velocity", **FLOW})
    how = "a decoder by flow matching" if flows else "a convolutional decoder"
    several = {"speaker_languages": {name: [tag] for name, tag in about.speakers.items()}} if len(languages) > 1 else {}
    return {
        "format": 1,
        "name": about.name,
        "version": VERSION,
        "kind": "acoustic",
        "license": about.license,
        "description": f"{about.name}, {', '.join(languages)}: explicit durations, pitch and energy; {how}.",
        "data": f"{about.data}; trained for {step} steps by recipes/acoustic.",
        "languages": languages,
        "speakers": list(about.speakers),
        **several,
        "text": {
            "frontend": "espeak",
            "language": about.language,
            "symbols": "symbols.txt",
            "start": "^",
            "end": "$",
            "max_tokens": about.max_tokens,
        },
        "features": CONTRACT,
        "vocoder": "universal",
        "controls": CONTROLS,
        "networks": networks,
        "stack": [
            {
                "type": "StreamablePipeline",
                "sequence_block": {"type": "Encoders"},
                "streamable_block": {"type": "StreamableStack", "stack": [{"type": "Upsampler"}, *decoder]},
            }
        ],
    }


def tag_of(language: str) -> str:
    """The BCP 47 tag of espeak's name of a language: "en-us" is "en-US"."""
    first, *rest = language.split("-")
    return "-".join([first, *(part.upper() for part in rest)])
