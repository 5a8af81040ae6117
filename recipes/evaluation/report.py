"""What comes out: the generated part of `voices.md`, `evaluation.json` and pictures of mel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from polyvox.errors import QualityError
from polyvox.quality.tables import Table

BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
TOOLS = ("pesq", "pystoi", "pyworld", "speechmos", "pocketsphinx", "onnxruntime", "numpy", "soxr")


@dataclass
class Section:
    """One table of the report and what stands around it.

    Attributes:
        title: its heading.
        part: "vocoders" or "voices".
        name: of the corpus or the voice.
        table: the figures.
        sources: what the systems are, row by row.
        notes: sentences below the table.
        pictures: (path relative to the page, what it shows).
    """

    title: str
    part: str
    name: str
    table: Table
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)

    def markdown(self, sources: bool = True) -> str:
        """The section as it stands on the page, with or without what its systems are."""
        said = [f"{row}: {source}." for row, source in self.sources.items() if source and sources]
        notes = " ".join([f"On {self.table.counts()}.", *said, *self.notes])
        pictures = [f"![{text}]({path})" for path, text in self.pictures]
        return "\n\n".join([f"### {self.title}", self.table.markdown(), notes, *pictures])


def write_page(page: Path, sections: Sequence[Section]) -> None:
    """Replace what stands between the markers; without markers, append them.

    Raises:
        QualityError: a table lacks its anchors, or the page has only one of the markers. The page stays as it was.
    """
    made = [BEGIN]
    for part, title in (("vocoders", "## Vocoders, from recorded mel"), ("voices", "## Voices, from text")):
        here = [s for s in sections if s.part == part]
        # What the systems are is said once, not below every table.
        bodies = [s.markdown(i == 0 or s.sources != here[i - 1].sources) for i, s in enumerate(here)]
        if bodies:
            made += [title, *bodies]
    generated = "\n\n".join([*made, END])
    old = page.read_text("utf-8") if page.exists() else "# Voices\n"
    if (BEGIN in old) != (END in old):
        raise QualityError(f"{page}: has only one of the markers {BEGIN} and {END}; put the other one back")
    if BEGIN in old:
        before, _, rest = old.partition(BEGIN)
        new = before + generated + rest.partition(END)[2]
    else:
        new = f"{old.rstrip()}\n\n{generated}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(new, "utf-8")


def write_json(path: Path, sections: Sequence[Section]) -> None:
    """Write every figure with its interval and its number of clips, and the versions of the instruments.

    Raises:
        QualityError: a table lacks its anchors. The file stays as it was.
    """
    found: dict[str, Any] = {"tools": {}}
    for tool in TOOLS:
        try:
            found["tools"][tool] = version(tool)
        except PackageNotFoundError:
            continue
    for section in sections:
        made = {"systems": section.sources, "rows": section.table.json()}
        found.setdefault(section.part, {})[section.name] = made
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def draw_mel(path: Path, spoken: np.ndarray, natural: np.ndarray, text: str) -> None:
    """Draw two log-mels [frames, 80], spoken above natural, in the same colours and with the same time axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    from recipes.corpus import SAMPLE_RATE
    from recipes.features import HOP

    figure, axes = plt.subplots(2, 1, figsize=(9, 4), sharex=True, layout="constrained")
    low, high = np.percentile(natural, [2, 99.8])
    for axis, name, mel in zip(axes, ("spoken by Polyvox", "recorded"), (spoken, natural), strict=True):
        extent = (0, len(mel) * HOP / SAMPLE_RATE, 0, mel.shape[1])
        axis.imshow(mel.T, origin="lower", aspect="auto", vmin=low, vmax=high, extent=extent, cmap="magma")
        axis.set_ylabel("mel band", fontsize=8)
        axis.set_title(name, fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
    axes[0].set_xlim(0, max(len(spoken), len(natural)) * HOP / SAMPLE_RATE)
    axes[1].set_xlabel(f"seconds: “{text}”", fontsize=8)
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    # 64 colours, undithered: a third of the size, and no difference to be seen.
    picture.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
