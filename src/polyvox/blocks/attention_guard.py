"""AttentionGuard: watches what an attention decoder attends to, repairs what goes wrong, reports what it could not.

    attention   tokens ^                              what an attention decoder does wrong:
                       |            ______            skip        leaps over tokens: words are dropped
                       |       ____/                  repeat      goes back: words are said again
                       |   ___/                       stall       stays on one token: a sound without end
                       |__/                           runaway     does not stop after the last token
                       +---------------------> steps  early stop  stops before the last token

Everything here reads tensors: the alignment and the stop output of each step. The repairs are tensors too: state put
back to where it was, and a mask over the tokens.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from polyvox.blocks.attention import AttentionDecoder, Decoding
from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.registry import block
from polyvox.networks.stepping import Saved
from polyvox.tensors import Array, Specs, Tensors, TensorSpec

_log = logging.getLogger("polyvox.attention")

FAULTS = ("none", "skip", "repeat", "stall", "runaway", "early stop")
"""The kinds of faults; in the tensor `attention_fault`, a kind is its place here."""
SKIP, REPEAT, STALL, RUNAWAY, EARLY_STOP = FAULTS[1:]

STRIDE = 24
"""Steps between two states that are kept to come back to."""
LAST = 2
"""Tokens at the end that need not be attended to: the end symbol and the mark before it are silent."""
BEHIND, AHEAD = 1, 2
"""Tokens behind and ahead of its place at which the attention may look while it is confined. Between two tokens that
sound there may be one or two that do not (a space, a stress), so it must be able to leap over one."""

PUSHES = 6
"""How often a confined attention may have to be moved on in one utterance. One that does not move by itself mumbles,
however orderly it is led: that is a stall which is not repaired."""


class Metrics:
    """What guards found in this process: for a service to show. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, bool]] = Counter()
        self._utterances = 0
        self._steps = 0

    def fault(self, kind: str, *, repaired: bool) -> None:
        """Count a fault."""
        with self._lock:
            self._counts[kind, repaired] += 1

    def utterance(self, steps: int) -> None:
        """Count an utterance that ended, and the steps that it took, those taken back included."""
        with self._lock:
            self._utterances += 1
            self._steps += steps

    def snapshot(self) -> dict[str, int]:
        """`utterances`, `steps`, and for each kind of fault `<kind> repaired` and `<kind> left`."""
        with self._lock:
            counts = {
                f"{kind} {'repaired' if repaired else 'left'}": self._counts[kind, repaired]
                for kind in FAULTS[1:]
                for repaired in (True, False)
            }
            return {"utterances": self._utterances, "steps": self._steps, **counts}

    def reset(self) -> None:
        """Start at nothing."""
        with self._lock:
            self._counts.clear()
            self._utterances = self._steps = 0


metrics = Metrics()
"""Of all guards in this process."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as a fault, in tokens and decoder steps; `AttentionGuard` explains them."""

    back: int
    skip: int
    covered: float
    stall: int
    tail: int


class Watch:
    """Follows the attention of one utterance step by step. Pure: it sees alignments and knows no network."""

    __slots__ = ("_checked", "_covered", "_limits", "_missed", "_tokens", "count", "place", "since")

    def __init__(self, tokens: int, limits: Limits) -> None:
        self._limits, self._tokens = limits, tokens
        self._covered: Array = np.zeros(tokens, dtype=np.float32)
        self._checked = 0  # tokens before this one are behind and were judged
        self._missed = 0  # of those, how many in a row were not attended to, up to the last one judged
        self.count = 0
        """Steps seen."""
        self.place = 0
        """The furthest token that was attended to most."""
        self.since = 0
        """The steps seen when `place` was reached."""

    def copy(self) -> Watch:
        """The watch as it is now."""
        other = Watch.__new__(Watch)
        other._limits, other._tokens, other._covered = self._limits, self._tokens, self._covered.copy()
        other._checked, other._missed = self._checked, self._missed
        other.count, other.place, other.since = self.count, self.place, self.since
        return other

    @property
    def at_end(self) -> bool:
        """Whether all but the silent tokens at the end were reached."""
        return self.place >= self._tokens - LAST

    @property
    def stayed(self) -> int:
        """Steps since the attention moved on."""
        return self.count - self.since

    def see(self, rows: Array) -> tuple[str | None, int]:
        """The next steps' alignments [steps, tokens].

        Returns:
            The first fault that they show, if any, and how many of the steps were looked at until then. Tokens that
            were leapt over show when the attention is well past them, and all steps were looked at.
        """
        limits = self._limits
        count, place, since = self.count, self.place, self.since
        last = self._tokens - LAST
        fault = None
        self._covered += np.add.reduce(rows)
        for at in rows.argmax(axis=1).tolist():
            count += 1
            if at > place:
                place, since = at, count
            elif at < place - limits.back:
                fault = REPEAT
            elif count - since > (limits.stall if place < last else limits.tail):
                fault = STALL if place < last else RUNAWAY
            if fault is not None:
                break
        seen = count - self.count
        self.count, self.place, self.since = count, place, since
        if seen < len(rows):
            self._covered -= np.add.reduce(rows[seen:])
        elif fault is None and place - LAST > self._checked and self._skipped(place - LAST):
            fault = SKIP
        return fault, seen

    def _skipped(self, until: int) -> bool:
        """Judge the tokens before `until`, which lie behind: whether several in a row were leapt over."""
        for amount in self._covered[self._checked : until].tolist():
            self._missed = self._missed + 1 if amount < self._limits.covered else 0
            if self._missed >= self._limits.skip:
                return True
        self._checked = until
        return False

    def last(self) -> str | None:
        """The fault that shows when nothing follows, if any: tokens at the end that were leapt over."""
        end = self._tokens - LAST
        return SKIP if end > self._checked and self._skipped(end) else None

    def forgive(self) -> None:
        """Go on although there was a fault: what is behind counts as said, and time starts anew."""
        self._checked, self._missed, self.since = max(self._checked, self.place - LAST), 0, self.count


@block("AttentionGuard")
class AttentionGuard(StreamableBlock):
    """Nests an AttentionDecoder and keeps its attention in order.

    It decodes `hold` frames ahead of what it gives away and keeps states to come back to. When the attention leaps,
    goes back or stalls, it takes those frames back and decodes them again with the attention confined to a window
    around its place, and moved on where it stays for too long, to the end of the utterance. A stop that comes too
    early is not heard; after the last token it stops by itself. What happens depends on steps alone, never on the
    size of chunks.

    It adds `attention_fault [frames]`: 0, or in the frame where a fault could not be repaired its place in `FAULTS`.
    Faults are logged to `polyvox.attention` (those left as warnings) and counted in `metrics`.
    """

    def __init__(
        self,
        decoder: StreamableBlock,
        repair: bool = True,
        hold: int = 60,
        back: int = 4,
        skip: int = 3,
        covered: float = 0.1,
        stall: int = 54,
        tail: int = 36,
    ) -> None:
        """Set up.

        Args:
            decoder: the AttentionDecoder.
            repair: False only watches and reports.
            hold: frames decoded ahead, at least `stall` and `tail`: what can be taken back.
            back: tokens that the attention may go back.
            skip: tokens in a row that nobody attended to, at which they count as skipped.
            covered: the attention that a token must have had in all to count as attended to, in steps.
            stall: frames for which the attention may stay without moving on.
            tail: the same after the last token that sounds.
        """
        if not isinstance(decoder, AttentionDecoder):
            raise ValueError(f"the field 'decoder' needs an AttentionDecoder, got a {type(decoder).__name__}")
        if repair and decoder.mask is None:
            raise ValueError("repairing needs a decoder with a mask, whose field 'mask' is null; or \"repair\": false")
        if min(back, skip, stall, tail) < 1 or hold < max(stall, tail) or not covered > 0:
            raise ValueError("expected back, skip, stall, tail >= 1, covered > 0, and hold >= stall and tail")
        self.decoder, self.repair = decoder, repair
        steps = decoder.per_step
        self.hold = -(-hold // steps) if repair else 0
        self.limits = Limits(back, skip, covered, -(-stall // steps), -(-tail // steps))

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Chunks of as many frames as are asked for."""
        port = Upstream.of(upstream)
        decoding = self.decoder.begin(tensors)
        if decoding is None:
            return
        guarded = _Guarded(self, decoding)
        done = 0
        while True:
            last = guarded.until(done + max(1, port.wanted))
            if last == done:
                return
            yield {**decoding.cut(done, last), "attention_fault": guarded.faults(done, last)}
            done = last

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The decoder's, and the faults."""
        return self.decoder.specs(tensors, upstream).plus({"attention_fault": TensorSpec("int64", ("frames",))})


class _Guarded:
    """One utterance under guard."""

    def __init__(self, guard: AttentionGuard, decoding: Decoding) -> None:
        self._guard, self._decoding = guard, decoding
        self._watch = Watch(decoding.tokens, guard.limits)
        self._mask: Array | None = None  # over the tokens, once the attention is confined
        self._kept: deque[tuple[tuple[int, Saved], Watch]] = deque()
        self._faults: list[tuple[int, int]] = []  # (frame, kind) of those left
        self._pushes = 0  # how often it was moved on
        self._unheard = False  # whether an early stop was reported already
        self._oldest = 0  # the step of the oldest state kept: what comes before it is final
        self._steps = 0
        if guard.repair:
            self._keep()

    def until(self, wanted: int) -> int:
        """Decode until `wanted` frames are final, or all that there are; returns how many."""
        decoding = self._decoding
        while not decoding.over and self._final() < wanted:
            self._look()
        return min(wanted, self._final())

    def _final(self) -> int:
        """Frames that nothing takes back any more."""
        decoding = self._decoding
        if decoding.over or not self._guard.repair:
            return decoding.frames
        return self._oldest * decoding.per_step

    def faults(self, first: int, last: int) -> Array:
        """The faults left in frames `first` to `last`, by frame; one that was found too late is told in the first."""
        found = np.zeros(last - first, dtype=np.int64)
        for frame, kind in [f for f in self._faults if f[0] < last]:
            found[max(0, frame - first)] = kind
            self._faults.remove((frame, kind))
        return found

    def _look(self) -> None:
        """Make some steps and look at them: one if the attention is confined, for that needs to know its place."""
        guard, decoding, watch = self._guard, self._decoding, self._watch
        first, stop = decoding.count, False
        if self._mask is not None:
            stop = decoding.step(self._changed(self._mask)) > guard.decoder.threshold
        else:
            until, threshold = min(first + STRIDE - first % STRIDE, decoding.most), guard.decoder.threshold
            while decoding.count < until and not stop:
                stop = decoding.step() > threshold
        self._steps += decoding.count - first
        while first < decoding.count:
            fault, seen = watch.see(decoding.alignment[first : decoding.count])
            if fault is not None and self._mend(fault):
                return
            first += seen
        if stop and watch.at_end:
            fault = watch.last()
            if fault is not None and self._mend(fault):
                return
        elif stop:
            if not self._unheard:
                self._unheard = True
                self._report(EARLY_STOP, repaired=guard.repair)
            stop = not guard.repair
        elif decoding.count == decoding.most:
            self._report(RUNAWAY, repaired=False)
            stop = True
        if stop:
            self._end()
        elif guard.repair and decoding.count % STRIDE == 0:
            self._keep()

    def _keep(self) -> None:
        """Keep the state to come back to, and forget those that are older than needed."""
        kept, decoding = self._kept, self._decoding
        kept.append((decoding.save(), self._watch.copy()))
        while len(kept) > 1 and kept[1][0][0] <= decoding.count - self._guard.hold:
            kept.popleft()
        self._oldest = kept[0][0][0]

    def _changed(self, mask: Array) -> Tensors:
        """The mask that confines the attention."""
        watch, decoder = self._watch, self._guard.decoder
        # It has lost its way once and is moved on sooner than it would be noticed; the last tokens end by themselves.
        stuck = watch.stayed >= self._guard.limits.stall // 2 and not watch.at_end
        if stuck:
            self._pushes += 1
            if self._pushes == PUSHES:
                self._report(STALL, repaired=False)
        mask[:] = 0
        mask[watch.place + 1 if stuck else max(0, watch.place - BEHIND) : watch.place + AHEAD + 1] = 1
        assert decoder.mask is not None
        return {decoder.mask: mask}

    def _mend(self, fault: str) -> bool:
        """Repair a fault if that is possible, and say so; returns whether the steps after it are void."""
        guard, decoding, watch = self._guard, self._decoding, self._watch
        if guard.repair and fault == RUNAWAY:
            # It said everything, and would go on: it ends a little after it came to the end.
            decoding.count = min(decoding.count, watch.since + guard.limits.tail // 3)
            self._report(fault, repaired=True)
            self._end()
            return True
        if guard.repair and self._mask is None:
            # The oldest state lies before all that was wrong: `hold` is at least as long as what counts as a stall.
            saved, before = self._kept[0]
            self._kept.clear()
            self._report(fault, repaired=True)
            self._mask = np.zeros(decoding.tokens, dtype=decoding.alignment.dtype)
            decoding.back_to(saved)
            self._watch = before
            self._keep()
            return True
        self._report(fault, repaired=False)
        watch.forgive()
        return False

    def _report(self, fault: str, *, repaired: bool) -> None:
        decoding, watch = self._decoding, self._watch
        metrics.fault(fault, repaired=repaired)
        level = logging.INFO if repaired else logging.WARNING
        done = "repaired" if repaired else "not repaired"
        _log.log(level, "%s at token %d of %d, %s", fault, watch.place, decoding.tokens, done)
        if not repaired:
            self._faults.append((max(0, decoding.frames - 1), FAULTS.index(fault)))

    def _end(self) -> None:
        self._decoding.over = True
        metrics.utterance(self._steps)
