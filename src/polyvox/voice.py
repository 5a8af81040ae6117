"""Voice: text in, a stream of audio out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from polyvox.addons import Addon, Stack, open_addon
from polyvox.addons.joining import check_controls, check_join, joined_controls
from polyvox.blocks import connect, time_own_work
from polyvox.blocks.attention_guard import FAULTS
from polyvox.errors import TensorError, VoiceError
from polyvox.networks import Device, Network, Target
from polyvox.pacing import Listener
from polyvox.speech import Chunk, Speech, Timer
from polyvox.tensors import Array
from polyvox.text import FrontEnd, Utterance, front_end, utterances
from polyvox.tracing import Trace
from polyvox.windows import WHOLE, Pace


class Voice:
    """What a caller speaks with: an acoustic addon joined to a vocoder addon, or one end-to-end speech addon.

    A voice is shared by any number of threads; each stream has its own state.
    """

    def __init__(
        self,
        addon: Addon,
        vocoder: Addon | None = None,
        *,
        target: str | Target = "cpu",
        trace: Trace | None = None,
        device: Device | None = None,
    ) -> None:
        """Join and load; `load` finds addons by name and is what callers want, and says what these are.

        Raises:
            VoiceError: the two do not make a voice.
            AddonError, StackError, TargetError: one of them is broken or cannot run on the target.
        """
        manifest = addon.manifest
        check_join(manifest, vocoder.manifest if vocoder else None)
        assert manifest.text is not None
        self.addon, self.vocoder = addon, vocoder
        self.trace = trace
        addons = [a for a in (addon, vocoder) if a is not None]
        self._stacks: list[Stack] = []
        try:
            for one in addons:
                # The trace is outside: a call's span is all that its stream waits, for the device too.
                self._stacks.append(one.stack(target, self._wrapper(one, addons), device))
        except BaseException:
            self.close()
            raise
        if trace is not None:
            for stack in self._stacks:
                time_own_work(stack.block, partial(trace.span, track="signal"))
        self._front_end: FrontEnd = front_end(manifest.text.frontend, manifest.text.language)
        # Where lengths are compiled, nothing longer than the longest can be encoded in one piece.
        compiled = [n.sizes["tokens"][-1] for s in self._stacks for n in s.networks.values() if "tokens" in n.sizes]
        self._max_tokens = min([manifest.text.max_tokens, *compiled])
        self.controls = joined_controls(manifest, vocoder.manifest if vocoder else None)

    @property
    def name(self) -> str:
        """The voice's name."""
        return self.addon.manifest.name

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.addon.manifest.features.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples a frame."""
        return self.addon.manifest.features.hop_length

    @property
    def stacks(self) -> list[Stack]:
        """The acoustic (or speech) addon's blocks, then the vocoder's."""
        return list(self._stacks)

    def stream(
        self,
        text: str,
        *,
        speaker: str | None = None,
        whole: bool = False,
        pace: Pace | Listener | None = None,
        **controls: float,
    ) -> Generator[Chunk, None, None]:
        """Speak `text`; nothing is computed before the first chunk is pulled, or that nobody pulls.

        Args:
            text: what to say.
            speaker: which of the voice's speakers; the first unless given.
            whole: run every network once over each sentence instead of streaming, for comparison.
            pace: how large the chunks are, or a listener who says so chunk by chunk.
            **controls: the voice's controls, such as `speed=1.1`; see `controls`.

        Returns:
            A generator of chunks; joined, they are the whole. Closing it stops the work at once.

        Raises:
            VoiceError: a speaker or control is unknown or out of range.
            TextError: the text cannot be spoken.
        """
        tensors = self._tensors(speaker, controls)
        parts = self._utterances(text)
        if not isinstance(pace, Listener):
            frames = WHOLE // self.hop_length
            pace = Listener(Pace(frames, 1.0, frames) if whole else pace or Pace())
        return self._stream(parts, tensors, pace)

    def say(
        self, text: str, *, speaker: str | None = None, whole: bool = False, pace: Pace | None = None, **controls: float
    ) -> Speech:
        """Speak `text` and wait for all of it: the same chunks as `stream`'s, joined."""
        chunks = self.stream(text, speaker=speaker, whole=whole, pace=pace, **controls)
        return Speech.join(chunks, self.sample_rate)

    def close(self) -> None:
        """Give back what the runtimes hold; the voice cannot speak any more."""
        for stack in self._stacks:
            stack.close()

    def _wrapper(self, addon: Addon, addons: Sequence[Addon]) -> Callable[[Network], Network] | None:
        """What records the calls of an addon's networks; one whose name another addon has too carries both names."""
        if self.trace is None:
            return None
        trace, own = self.trace, addon.manifest.name
        others = {name for a in addons if a is not addon for name in a.manifest.networks}

        def wrap(network: Network) -> Network:
            name = network.spec.name
            return trace.wrap(network, f"{own}.{name}" if name in others else name)

        return wrap

    def _utterances(self, text: str) -> Iterator[Utterance]:
        settings = self.addon.manifest.text
        assert settings is not None
        parts = utterances(
            text,
            self._front_end,
            self.addon.symbols,
            max_tokens=self._max_tokens,
            start=settings.start,
            end=settings.end,
            between=settings.between,
        )
        # The first one now, so that a text that cannot be spoken is refused before anything is promised.
        with self.trace.span("text", "text") if self.trace else nullcontext():
            first = next(parts, None)

        def every() -> Iterator[Utterance]:
            part = first
            while part is not None:
                yield part
                with self.trace.span("text", "text") if self.trace else nullcontext():
                    part = next(parts, None)

        return every()

    def _tensors(self, speaker: str | None, controls: Mapping[str, float]) -> dict[str, Array]:
        check_controls(self.name, self.controls, controls)
        tensors: dict[str, Array] = {}
        for name, known in self.controls.items():
            tensors[name] = np.asarray(controls.get(name, known.default), dtype=np.float32)
        speakers = self.addon.manifest.speakers
        if speaker is not None and speaker not in speakers:
            raise VoiceError(f"voice '{self.name}' has no speaker '{speaker}'; it has {', '.join(speakers) or 'one'}")
        tensors["speaker"] = np.asarray(speakers.index(speaker) if speaker else 0, dtype=np.int64)
        return tensors

    def _stream(
        self, parts: Iterator[Utterance], tensors: Mapping[str, Array], listener: Listener
    ) -> Generator[Chunk, None, None]:
        settings = self.addon.manifest.text
        assert settings is not None
        silence = np.zeros(round(settings.pause * self.sample_rate), dtype=np.float32)
        position = 0
        previous: Utterance | None = None
        for part in parts:
            if previous is not None and len(silence) and previous.ends_sentence:
                yield Chunk(silence, self.sample_rate, position)
                position += len(silence)
            timer = Timer(part, position, self.sample_rate)
            stream = connect(self._stacks[0].block, {**tensors, "tokens": part.tokens})
            for stack in self._stacks[1:]:
                stream = connect(stack.block, tensors, stream)
            try:
                while True:
                    stream.ask(listener.ask() * self.hop_length)
                    tensors_out = next(stream, None)
                    if tensors_out is None:
                        break
                    samples: Array = tensors_out["audio"]
                    if not np.isfinite(samples).all():
                        raise TensorError(
                            f"voice '{self.name}': made audio that is no number for the text {part.text[:40]!r}"
                        )
                    listener.give(len(samples) // self.hop_length, len(samples) / self.sample_rate)
                    index = tensors_out.get("token_index")
                    if index is not None:
                        timer.add(index, len(samples))
                    warnings = _warnings(tensors_out.get("attention_fault"), position, len(samples), self.sample_rate)
                    yield Chunk(samples, self.sample_rate, position, *timer.finished(), warnings)
                    position += len(samples)
            finally:
                stream.close()
            words, phonemes = timer.end()
            if words or phonemes:
                yield Chunk(np.zeros(0, dtype=np.float32), self.sample_rate, position, words, phonemes)
            previous = part


def _warnings(faults: Array | None, position: int, samples: int, rate: int) -> tuple[str, ...]:
    """What a guard could not repair in a chunk, from its `attention_fault [frames]`."""
    if faults is None or not faults.any():
        return ()
    seconds = {frame: (position + frame * samples / len(faults)) / rate for frame in np.flatnonzero(faults).tolist()}
    return tuple(f"{FAULTS[faults[frame]]} of the attention at {at:.2f} s" for frame, at in seconds.items())


def load(
    name_or_path: str | Path,
    *,
    target: str | Target = "cpu",
    vocoder: str | Path | None = None,
    trace: Trace | None = None,
    device: Device | None = None,
) -> Voice:
    """Load a voice: `polyvox.load("kathleen")`.

    Args:
        name_or_path: a name that the library knows, or the path of a folder or an `.addon` file.
        target: where and how to run, "cpu" or "cpu-fixed".
        vocoder: another vocoder than the one that the addon names, by name or path.
        trace: records every network call, and what blocks compute themselves.
        device: shared by voices that speak at the same time: `Device()` runs as many calls at once as there are
            processors, the most urgent first (`polyvox.networks.deadline`), steps of several streams as one, and
            loads a vocoder that several voices have once. None runs every call as it comes.

    Raises:
        VoiceError: no such voice, or its parts do not join.
        AddonError: an addon is broken.
        TargetError: the target is unknown.
    """
    addon = open_addon(name_or_path)
    beside = Path(addon.files.where).parent
    wanted: str | Path | None = vocoder or addon.manifest.vocoder
    if addon.manifest.kind == "acoustic" and wanted is None:
        raise VoiceError(f"'{addon.manifest.name}' names no vocoder; give one: load(..., vocoder='universal')")
    other = open_addon(wanted, None if vocoder else beside) if wanted is not None else None
    return Voice(addon, other, target=target, trace=trace, device=device)
