"""The gate: a voice measured against recordings, and limits that say how far behind them it may be."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from polyvox.addons import Addon
from polyvox.addons.manifest import Features
from polyvox.checking import Finding
from polyvox.errors import QualityError
from polyvox.quality.comparing import Compared, Comparison
from polyvox.quality.measuring import Track, untracked
from polyvox.quality.mel import Mel
from polyvox.quality.reference import Corpus, Reference
from polyvox.quality.requirements import require
from polyvox.quality.tables import GRIFFIN_LIM, NATURAL, Table
from polyvox.voice import Voice

CLIPS = 60
"""Clips measured on, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One aim, relative to an anchor of the same table.

    Attributes:
        figure: of the table's figures.
        anchor: the row that it is compared with.
        most: the default limit.
        meaning: what the limit says, for people.
    """

    figure: str
    anchor: str
    most: float
    meaning: str


FROM_FEATURES = {
    "dnsmos": Limit("dnsmos", NATURAL, 0.2, "DNSMOS at most so far below the recordings'"),
    "pesq": Limit("pesq", GRIFFIN_LIM, 0.0, "PESQ-WB above Griffin-Lim's by more than this"),
}
FROM_TEXT = {
    "dnsmos": Limit("dnsmos", NATURAL, 0.3, "DNSMOS at most so far below the recordings'"),
    "word-errors": Limit("word_errors", NATURAL, 5.0, "word errors at most so many points above the recordings'"),
    "length": Limit("length", NATURAL, 15.0, "total length within so many percent of the recordings'"),
}


@dataclass(frozen=True)
class Gate:
    """What to measure against, and how strictly.

    Attributes:
        reference: the recordings.
        limits: by name, in place of the defaults.
        jobs: processes.
        speaker: which of a voice's speakers the recordings are of; the first unless given.
        keep: a folder to keep every system's audio in; none is kept unless given.
        track: shows how far the work is.
    """

    reference: Reference
    limits: Mapping[str, float]
    jobs: int = 1
    speaker: str | None = None
    keep: Path | None = None
    track: Track = untracked

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        split: str | None = None,
        limit: int | None = None,
        limits: Mapping[str, float] | None = None,
        jobs: int = 1,
        speaker: str | None = None,
        keep: Path | None = None,
        track: Track = untracked,
    ) -> Gate:
        """Read the recordings' list and refuse what cannot work, before anything is measured.

        Args:
            folder: in one of the layouts that `polyvox.quality.reference` reads.
            split: which split to measure on; "dev" unless given, where the folder has splits.
            limit: at most so many clips, CLIPS unless given.
            limits: by name, in place of the defaults.
            jobs: processes.
            speaker: as the attribute.
            keep: as the attribute.
            track: as the attribute.

        Raises:
            MissingExtraError: the extra `quality` is not installed.
            QualityError: the folder is no reference, or a limit is unknown.
        """
        require()
        known = list(dict.fromkeys([*FROM_FEATURES, *FROM_TEXT]))
        for name, most in (limits or {}).items():
            if name not in known:
                raise QualityError(f"'{name}' is no limit; there are {', '.join(known)}")
            if not math.isfinite(most) or most < 0:
                raise QualityError(f"the limit '{name}' must be a number of at least 0, not {most}")
        return cls(Reference.open(folder, split, limit or CLIPS), dict(limits or {}), jobs, speaker, keep, track)

    def vocoder(self, addon: Addon) -> Iterator[Finding]:
        """Measure a vocoder addon from the recordings' features: the table, then what the limits say.

        Raises:
            QualityError: a recording cannot be used, the vocoder makes no audio, or an anchor is missing.
        """
        limits = self._limits(FROM_FEATURES, "a vocoder")
        with ExitStack() as stack:
            comparison, corpus = self._begin(stack, addon.manifest.features)
            compared = comparison.from_features(corpus, [addon])
            yield from self._findings(compared, limits, "from recorded features")

    def voice(self, voice: Voice) -> Iterator[Finding]:
        """Measure a voice from the recordings' texts: the table, then what the limits say.

        Raises:
            QualityError: a recording cannot be used, a sentence cannot be said, or an anchor is missing.
        """
        limits = self._limits(FROM_TEXT, "a voice")
        features = voice.addon.manifest.features
        with ExitStack() as stack:
            contract = _whole_band(features) if voice.addon.manifest.kind == "speech" else features
            comparison, corpus = self._begin(stack, contract)
            compared = comparison.from_text(corpus, voice, self.speaker)
            yield from self._findings(compared, limits, "from text")

    def _limits(self, known: Mapping[str, Limit], what: str) -> dict[str, tuple[Limit, float]]:
        strange = [name for name in self.limits if name not in known]
        if strange:
            raise QualityError(f"'{strange[0]}' is no limit of {what}; there are {', '.join(known)}")
        return {name: (limit, self.limits.get(name, limit.most)) for name, limit in known.items()}

    def _begin(self, stack: ExitStack, contract: Features) -> tuple[Comparison, Corpus]:
        mel = Mel(contract)
        if self.keep is None:
            cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="polyvox-quality-")))
        else:
            cache = self.keep.resolve()
            try:
                cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise QualityError(f"{self.keep}: cannot be written to: {error.strerror or error}") from None
        return Comparison(cache, self.jobs, self.track), Corpus(self.reference, cache, mel)

    def _findings(self, compared: Compared, limits: Mapping[str, tuple[Limit, float]], how: str) -> Iterator[Finding]:
        table = compared.table
        reference = self.reference
        whole = len(reference.clips) == reference.available
        of = "" if whole else f" ({reference.name} has {reference.available} clips)"
        notes = ". ".join([f"{how}, on {table.counts()}{of}", *(n.rstrip(".") for n in compared.notes)])
        yield Finding("quality", None, notes, table=table)
        ours = next(iter(reversed([row for row in table.rows if row in compared.sources])))
        for name, (limit, most) in limits.items():
            yield judge(table, ours, name, limit, most)


def judge(table: Table, row: str, name: str, limit: Limit, most: float) -> Finding:
    """What one limit says of a row: the point estimates are compared, not their intervals."""
    check = f"quality: {name}"
    figure = next((f for f in table.figures if f.name == limit.figure), None)
    if figure is None:
        return Finding(check, None, "not measured for this language and these sentences")
    ours, anchor = table.rows[row].get(limit.figure), table.rows[limit.anchor][limit.figure]
    title = figure.title.rstrip(" ↑↓").partition(",")[0]
    if ours is None or math.isnan(ours.value):
        return Finding(check, False, f"{title} of {row} has no value")
    value, theirs, digits = ours.value, anchor.value, figure.decimals
    figures = {"value": value, "anchor": theirs, "limit": most}
    match name:
        case "length":
            ok = abs(value / theirs - 1) * 100 <= most
            said = f"total length is {value / theirs:.2f} of the recordings', at most {most:g}% from it allowed"
        case "word-errors":
            ok = value - theirs <= most
            said = (
                f"{value:.{digits}f}% of the words, the recordings {theirs:.{digits}f}%,"
                f" at most {most:g} points above allowed"
            )
        case "pesq":
            ok = value - theirs > most
            said = f"{title} {value:.{digits}f}, Griffin-Lim {theirs:.{digits}f}, expected more than {most:g} above"
        case _:
            ok = theirs - value <= most
            said = f"{title} {value:.{digits}f}, the recordings {theirs:.{digits}f}, at most {most:g} below allowed"
    return Finding(check, ok, said, figures)


def _whole_band(features: Features) -> Features:
    """What the anchor of a speech addon, which has no features of its own, is made of: Polyvox's default contract.

    The times and frequencies of the default, at the addon's sample rate.
    """
    standard = Features()
    hop = round(standard.hop_length * features.sample_rate / standard.sample_rate)
    top = min(standard.f_max, features.sample_rate / 2)
    return Features(sample_rate=features.sample_rate, hop_length=hop, fft=4 * hop, window=4 * hop, f_max=top)
