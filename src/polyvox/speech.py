"""What a voice gives back: chunks of audio, the whole speech, and who spoke when."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvox.audio import save_audio, wav_bytes
from polyvox.text import Utterance


@dataclass(frozen=True, slots=True)
class Timing:
    """A word or phoneme and its time.

    Attributes:
        text: the word as it stands in the caller's text, or the phoneme.
        start, end: seconds from the start of the speech.
        first, last: the stretch text[first:last] of the caller's text that it comes from.
    """

    text: str
    start: float
    end: float
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of speech as it is made.

    Attributes:
        samples: float32 [n], full scale at 1.0.
        sample_rate: samples a second.
        position: how many samples came before.
        words, phonemes: those that end in this chunk.
        warnings: one sentence for everything that the voice noticed to be wrong and could not repair.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    position: int = 0
    words: tuple[Timing, ...] = ()
    phonemes: tuple[Timing, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True, slots=True)
class Speech:
    """A whole speech: what `Voice.say` gives. Shown as a player in a notebook."""

    samples: NDArray[np.float32]
    sample_rate: int
    words: tuple[Timing, ...] = ()
    phonemes: tuple[Timing, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    @classmethod
    def join(cls, chunks: Iterable[Chunk], sample_rate: int) -> Speech:
        """All chunks of a stream as one."""
        all_chunks = list(chunks)
        samples = [c.samples for c in all_chunks] or [np.zeros(0, dtype=np.float32)]
        return cls(
            np.concatenate(samples),
            sample_rate,
            tuple(w for c in all_chunks for w in c.words),
            tuple(p for c in all_chunks for p in c.phonemes),
            tuple(w for c in all_chunks for w in c.warnings),
        )

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | Path) -> None:
        """Write an audio file, whole or not at all; its ending says the format (`.wav`, `.pcm`, `.flac` ...).

        Raises:
            AudioError: the ending is unknown, or the file cannot be written.
        """
        save_audio(path, self.samples, self.sample_rate)

    def _repr_html_(self) -> str:
        data = base64.b64encode(wav_bytes(self.samples, self.sample_rate)).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio>'


class Timer:
    """Turns the token that each frame speaks into timings of words and phonemes, each given once, when it ends."""

    def __init__(self, utterance: Utterance, position: int, sample_rate: int) -> None:
        """`position`: samples that came before the utterance."""
        self._utterance = utterance
        self._rate = sample_rate
        self._at = position
        self._token = -1
        self._token_start = position
        self._word: tuple[int, int] | None = None
        self._word_start = self._word_end = position
        # The last token of each word; spaces and blanks may stand between a word's tokens.
        self._last: dict[tuple[int, int], int] = {}
        for token, owner in enumerate(utterance.word_index.tolist()):
            if owner >= 0:
                self._last[utterance.words[owner].start, utterance.words[owner].end] = token
        self._words: list[Timing] = []
        self._phonemes: list[Timing] = []

    def add(self, token_index: NDArray[np.int64], samples: int) -> None:
        """The next frames: which token each speaks, and how many samples they make together."""
        if not len(token_index):
            return
        per_frame = samples / len(token_index)
        changes = np.flatnonzero(np.diff(token_index, prepend=self._token))
        for frame in changes.tolist():
            self._turn(int(token_index[frame]), self._at + round(frame * per_frame))
        self._at += samples

    def _turn(self, token: int, at: int) -> None:
        self._finish_token(at)
        if self._word is not None and token > self._last[self._word]:
            self._finish_word()
        self._token, self._token_start = token, at

    def _finish_token(self, at: int) -> None:
        if self._token < 0 or self._token >= len(self._utterance.symbols):
            return
        owner = int(self._utterance.word_index[self._token])
        if owner < 0:
            return
        word = self._utterance.words[owner]
        span = (word.start, word.end)
        if span != self._word:
            self._finish_word()
            self._word, self._word_start = span, self._token_start
        self._word_end = at
        self._phonemes.append(
            Timing(
                self._utterance.symbols[self._token],
                self._token_start / self._rate,
                at / self._rate,
                word.start,
                word.end,
            )
        )

    def _finish_word(self) -> None:
        if self._word is None:
            return
        first, last = self._word
        start = self._utterance.start
        text = self._utterance.text[first - start : last - start]
        self._words.append(Timing(text, self._word_start / self._rate, self._word_end / self._rate, first, last))
        self._word = None

    def finished(self) -> tuple[tuple[Timing, ...], tuple[Timing, ...]]:
        """The words and phonemes that ended since the last call."""
        words, phonemes = tuple(self._words), tuple(self._phonemes)
        self._words.clear()
        self._phonemes.clear()
        return words, phonemes

    def end(self) -> tuple[tuple[Timing, ...], tuple[Timing, ...]]:
        """The utterance is over: what had not ended yet."""
        self._turn(-1, self._at)
        self._finish_word()
        return self.finished()
