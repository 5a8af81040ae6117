"""One utterance of a WebSocket: what it says of itself to its client and to the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from polyvox.audio.codecs import CODECS
from polyvox.service.dictation import Dictation
from polyvox.service.logs import event, reason
from polyvox.service.messages import Start
from polyvox.service.responses import INLINE
from polyvox.speech import Chunk, Timing

log = logging.getLogger("polyvox.service.stream")


@dataclass(eq=False)
class Utterance:
    """What was asked for, and how far it is; its methods make the service's messages (docs/websocket.md).

    Attributes:
        id: its name in messages.
        start: what its client wants.
        dictation: speaks.
        samples, bytes: of audio that was sent.
    """

    id: str
    start: Start
    dictation: Dictation
    samples: int = 0
    bytes: int = 0

    @property
    def sample_rate(self) -> int:
        """Of the audio as it is sent."""
        wanted = self.start.sample_rate or self.dictation.sample_rate
        return wanted if self.start.format in INLINE else CODECS[self.start.format].rate_for(wanted)

    def started(self, media_type: str) -> dict[str, Any]:
        """Who speaks, before the audio."""
        dictation = self.dictation
        return {
            "type": "started",
            "id": self.id,
            "voice": dictation.voice,
            "version": dictation.version,
            "speaker": dictation.speaker,
            "language": dictation.language,
            "format": self.start.format,
            "media_type": media_type,
            "sample_rate": self.sample_rate,
        }

    def timings(self, chunk: Chunk) -> dict[str, Any] | None:
        """The words and phonemes of a chunk that the client wants to know of; None if there are none."""
        told: dict[str, Any] = {}
        if self.start.words and chunk.words:
            told["words"] = _timings(chunk.words)
        if self.start.phonemes and chunk.phonemes:
            told["phonemes"] = _timings(chunk.phonemes)
        return {"type": "timings", "id": self.id, **told} if told else None

    def first_audio(self) -> dict[str, Any]:
        """How long the first audio took."""
        totals = self.dictation.totals
        return {
            "type": "first_audio",
            "id": self.id,
            "seconds": round(totals.first_audio or 0.0, 4),
            "stages": {name: round(seconds, 4) for name, seconds in totals.stages.items()},
        }

    def result(self, outcome: str) -> dict[str, Any]:
        """What it came to, at its end: `done` or `cancelled`."""
        totals = self.dictation.totals
        return {
            "type": outcome,
            "id": self.id,
            "characters": totals.characters,
            "seconds": round(self.samples / self.dictation.sample_rate, 4),
            "bytes": self.bytes,
            "clauses": totals.clauses,
            "compute": round(totals.compute, 4),
            "underruns": totals.underruns,
        }

    def report(self, outcome: str, error: BaseException | None = None) -> None:
        """Tell the log."""
        dictation, totals = self.dictation, self.dictation.totals
        event(
            log,
            logging.WARNING if outcome == "failed" else logging.INFO,
            "utterance",
            outcome=outcome,
            utterance=self.id,
            voice=f"{dictation.voice}@{dictation.version}",
            speaker=dictation.speaker,
            format=self.start.format,
            audio_s=round(self.samples / dictation.sample_rate, 3),
            first_audio_ms=None if totals.first_audio is None else round(1e3 * totals.first_audio, 1),
            characters=totals.characters,
            clauses=totals.clauses,
            underruns=totals.underruns,
            bytes=self.bytes,
            error=None if error is None else reason(error),
        )


def _timings(timings: Sequence[Timing]) -> list[dict[str, Any]]:
    return [
        {"text": t.text, "start": round(t.start, 4), "end": round(t.end, 4), "first": t.first, "last": t.last}
        for t in timings
    ]
