"""Word and phoneme timings as JSON or as subtitles."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyvox.speech import Timing

SUFFIXES = (".json", ".srt", ".vtt")

# A caption as television sets them: one line that can be read at a glance.
LONGEST_TEXT = 42
LONGEST_TIME = 6.0
LONGEST_GAP = 0.6

ENDINGS = (".", "!", "?", "…", "。", "！", "？")
PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
CLOSING = "\"')]»”’"


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of subtitles and its time in seconds."""

    text: str
    start: float
    end: float


def render(
    suffix: str, text: str, words: Sequence[Timing], phonemes: Sequence[Timing], about: dict[str, object]
) -> str:
    """The timings of `text` in the format that a file's ending says; `about` stands at the head of the JSON."""
    if suffix == ".json":
        return json.dumps(
            {**about, "words": [_plain(w) for w in words], "phonemes": [_plain(p) for p in phonemes]},
            indent=1,
            ensure_ascii=False,
        )
    return (_vtt if suffix == ".vtt" else _srt)(captions(text, words))


def _plain(timing: Timing) -> dict[str, object]:
    # A tenth of a millisecond is less than any frame; more digits would be noise.
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(timing).items()}


def captions(text: str, words: Sequence[Timing]) -> list[Caption]:
    """Group words into captions, each a stretch of the caller's text with its marks."""
    made: list[Caption] = []
    group: list[Timing] = []
    first = last = 0  # the group's stretch of the text

    def close() -> None:
        if group:
            made.append(Caption(" ".join(text[first:last].split()), group[0].start, group[-1].end))
            group.clear()

    for word in words:
        begins, ends = _with_marks(text, word.first, word.last)
        if group and (
            ends - first > LONGEST_TEXT
            or word.end - group[0].start > LONGEST_TIME
            or word.start - group[-1].end > LONGEST_GAP
            or PARAGRAPH.search(text, last, max(last, begins))
        ):
            close()
        if not group:
            first = begins
        group.append(word)
        last = ends
        if text[word.last : ends].rstrip(CLOSING).endswith(ENDINGS):
            close()
    close()
    return made


def _with_marks(text: str, first: int, last: int) -> tuple[int, int]:
    """A word's stretch of text with the marks that touch it."""
    while first > 0 and not text[first - 1].isspace() and not text[first - 1].isalnum():
        first -= 1
    while last < len(text) and not text[last].isspace() and not text[last].isalnum():
        last += 1
    return first, last


def _clock(seconds: float, mark: str) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3600000:02}:{whole // 60000 % 60:02}:{whole // 1000 % 60:02}{mark}{whole % 1000:03}"


def _srt(lines: Sequence[Caption]) -> str:
    return "".join(
        f"{number}\n{_clock(c.start, ',')} --> {_clock(c.end, ',')}\n{c.text}\n\n" for number, c in enumerate(lines, 1)
    )


def _vtt(lines: Sequence[Caption]) -> str:
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return "WEBVTT\n\n" + "".join(
        f"{_clock(c.start, '.')} --> {_clock(c.end, '.')}\n{escaped(c.text)}\n\n" for c in lines
    )
