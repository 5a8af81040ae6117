"""How fast each voice is on this machine: measured once, and kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from polyvox.cli import common

if TYPE_CHECKING:
    from polyvox.addons import Addon

FORMAT = 1
MOST = 1000
"""Figures that are kept; the oldest go first."""
TURNS = 3
"""How often a sentence is spoken, after once to warm up; the median counts."""

# Article 1 of the Universal Declaration of Human Rights: the same sentence in every language.
SENTENCES = {
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "da": "Alle mennesker er født frie og lige i værdighed og rettigheder.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "en": "All human beings are born free and equal in dignity and rights.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "sv": "Alla människor är födda fria och lika i värde och rättigheter.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
}
ANY = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
"""What is said in any other language."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A measured voice.

    Attributes:
        language: the tag of the sentence's language; None if the addon names none.
        speaker: who spoke it.
        target: where and how it ran.
        factor: the real-time factor: seconds of work for a second of speech, streamed.
        seconds: how long the sentence is.
        measured: the day, in ISO 8601.
    """

    language: str | None
    speaker: str | None
    target: str
    factor: float
    seconds: float
    measured: str

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


class Speeds:
    """The figures that are known of this machine."""

    def __init__(self, path: Path | None = None) -> None:
        """Read them; a file that is absent or damaged holds none."""
        self.path = path or folder() / "speeds.json"
        self._entries = self._read()
        self._here = {"processor": processor(), "cores": cores(), "polyvox": _version()}

    def of(self, addon: Addon, vocoder: Addon | None, target: str) -> list[Speed]:
        """What is known of a voice on a target; nothing once the addons, the machine or Polyvox have changed."""
        key = self._key(addon, vocoder, target)
        found = []
        for entry in self._entries:
            if entry.get("key") == key:
                # Somebody may have written in it; what does not fit is not known.
                with suppress(TypeError, ValueError):
                    speed = Speed(**entry["speed"])
                    float(speed.factor)
                    found.append(speed)
        return found

    def keep(self, addon: Addon, vocoder: Addon | None, target: str, speeds: Sequence[Speed]) -> None:
        """Write figures down, in place of what was known of the voice.

        Raises:
            PolyvoxError: the file cannot be written.
        """
        key = self._key(addon, vocoder, target)
        name = key["voice"]["name"]
        machine = {field: self._here[field] for field in ("processor", "cores")}

        def replaced(entry: dict[str, Any]) -> bool:
            old = entry["key"]
            same = old["voice"]["name"] == name and old["target"] == target
            return bool(same and all(old[field] == value for field, value in machine.items()))

        kept = [entry for entry in self._read() if not replaced(entry)]  # another process may have written since
        self._entries = [*kept, *({"key": key, "speed": speed.json()} for speed in speeds)][-MOST:]
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with common.whole_file(self.path) as file:
            file.write(json.dumps({"format": FORMAT, "speeds": self._entries}, indent=1).encode())

    def _key(self, addon: Addon, vocoder: Addon | None, target: str) -> dict[str, Any]:
        other = None if vocoder is None else _identity(vocoder)
        return {"voice": _identity(addon), "vocoder": other, "target": target, **self._here}

    def _read(self) -> list[dict[str, Any]]:
        try:
            data = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return []
        if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("speeds"), list):
            return []
        fields = {"voice", "vocoder", "target", "processor", "cores", "polyvox"}
        return [e for e in data["speeds"] if _is_entry(e, fields)]


def measure(path: Path, target: str) -> Iterator[Speed]:
    """Speak a sentence in each language of a voice, and time it.

    Raises:
        PolyvoxError: the voice cannot be loaded, or does not speak.
    """
    from polyvox.voice import load

    voice = load(path, target=target)
    try:
        manifest = voice.addon.manifest
        languages: list[str | None] = [*manifest.languages] or [None]
        names: list[str | None] = [*manifest.speakers] or [None]
        for language in languages:
            speakers = [name for name in names if language is None or language in manifest.languages_of(name)]
            if not speakers:
                continue
            text = SENTENCES.get((language or "").partition("-")[0].lower(), ANY)
            factors = []
            seconds = 0.0
            for turn in range(1 + TURNS):
                began = time.perf_counter()
                samples = sum(len(chunk.samples) for chunk in voice.stream(text, speaker=speakers[0]))
                took = time.perf_counter() - began
                seconds = samples / voice.sample_rate
                if turn and seconds:
                    factors.append(took / seconds)
            if factors:
                day = time.strftime("%Y-%m-%d")
                yield Speed(language, speakers[0], target, round(median(factors), 4), round(seconds, 3), day)
    finally:
        voice.close()


def folder() -> Path:
    """Polyvox's folder for what can be made again: in XDG_CACHE_HOME, else in ~/.cache."""
    set_to = os.environ.get("XDG_CACHE_HOME", "")
    # The specification wants a relative path ignored.
    base = Path(set_to) if set_to and Path(set_to).is_absolute() else Path("~/.cache").expanduser()
    return base / "polyvox"


def processor() -> str:
    """The processor's name, as its maker writes it where the system says so."""
    name = ""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            name = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        elif sys.platform.startswith("linux"):
            lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
            name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
    return name.strip() or platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _identity(addon: Addon) -> dict[str, Any]:
    """What makes two addons of one name differ."""
    where = Path(addon.files.where)
    paths = [where, *where.rglob("*")] if where.is_dir() else [where]
    changed = max((path.stat().st_mtime_ns for path in paths if path.is_file()), default=0)
    manifest = addon.manifest
    return {"name": manifest.name, "version": manifest.version, "bytes": addon.files.total(), "modified": changed}


def _is_entry(entry: object, fields: set[str]) -> bool:
    match entry:
        case {"key": {"voice": {"name": str()}} as key, "speed": dict()}:
            return bool(key.keys() == fields)
    return False


def _version() -> str:
    from polyvox import __version__

    return __version__
