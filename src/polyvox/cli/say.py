"""`polyvox say`: speak a text into a file, a pipe or the sound device."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvox.cli import common, timings
from polyvox.errors import PolyvoxError, TextError, VoiceError

if TYPE_CHECKING:
    from polyvox.choosing import Choice
    from polyvox.script import Script
    from polyvox.speech import Chunk

LONG_TEXT = 300
"""Characters from which a progress line is worth it."""
LONGEST_PATH = 1000


@click.command(
    epilog='Examples: polyvox say "Good morning." -o morning.wav; polyvox say --language de "Guten Morgen."; '
    "polyvox say book.txt -o book.flac --timings book.srt; echo Hello | polyvox say -o - | aplay -f S16_LE -r 22050"
)
@click.argument("text", required=False)
@click.option("-f", "--file", "source", metavar="FILE", help="Read the text from a UTF-8 file; `-` is standard input.")
@click.option(
    "--voice",
    metavar="NAME|PATH",
    help="Who speaks; `kathleen` unless --language or --speaker ask for another.",
)
@click.option(
    "--language", metavar="TAG", help="Which language: the voice that fits best, `de` for `de-AT`, `en-US` for `en`."
)
@click.option("--vocoder", metavar="NAME|PATH", help="Another vocoder than the voice's own.")
@click.option("--speaker", metavar="NAME", help="Which speaker, of the voice or of any.")
@click.option("--target", default="cpu", show_default=True, help="Where and how to run.")
@click.option("--speed", type=float, help="How fast: 2 is twice as fast.")
@click.option("--pitch", type=float, help="How much higher, in semitones.")
@click.option("--energy", type=float, help="How much stronger, in dB.")
@click.option(
    "--control", "controls", multiple=True, metavar="NAME=VALUE", help="Any control of the voice; repeatable."
)
@click.option(
    "--pause", type=click.FloatRange(0, 60), help="Seconds of silence where the speaker changes; 0.5 unless given."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write a file, its ending says the format; `-` is raw 16-bit PCM on standard output. Absent: play it.",
)
@click.option("--whole", is_flag=True, help="Compute each sentence at once instead of streaming, for comparison.")
@click.option(
    "--timings",
    "timings_to",
    metavar="FILE",
    help="Write when each word and phoneme is spoken: .json, .srt, .vtt; `-` is JSON on standard output.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def say(
    text: str | None,
    source: str | None,
    voice: str | None,
    language: str | None,
    vocoder: str | None,
    speaker: str | None,
    target: str,
    speed: float | None,
    pitch: float | None,
    energy: float | None,
    controls: tuple[str, ...],
    pause: float | None,
    output: str | None,
    whole: bool,
    timings_to: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Speak TEXT, a file or standard input.

    A TEXT that ends in .txt is the path of a file if there is one, or if it is a single word. What others wrote is
    safest on standard input, which is never taken for a path or an option.

    A text may have several voices: a line that begins with [kerstin], [lowlands/flemishguy], [flemishguy] or [nl-BE],
    a voice, one of its speakers, any speaker or a language, is spoken by that one, and so is what follows it.
    """
    if [output, timings_to, "-" if as_json else None].count("-") > 1:
        raise click.UsageError("only one of -o -, --timings - and --json can have standard output")
    if timings_to not in (None, "-") and Path(timings_to).suffix.lower() not in timings.SUFFIXES:
        raise PolyvoxError(f"{timings_to}: unknown format of timings; known are {', '.join(timings.SUFFIXES)}")
    spoken, read_from = _text(text, source)
    values = _controls({"speed": speed, "pitch": pitch, "energy": energy}, controls)

    from polyvox.script import PAUSE, Script

    script = Script.parse(spoken, voice, language=language, speaker=speaker, vocoder=vocoder, source=read_from)
    run = _Run(script.sample_rate)
    progress = not quiet and len(spoken) >= LONG_TEXT and sys.stderr.isatty()
    # Refuses a bad control or text before any file is touched.
    chunks = script.stream(target=target, pause=PAUSE if pause is None else pause, whole=whole, **values)
    try:
        with ExitStack() as stack:
            timings_file = (
                stack.enter_context(common.whole_file(Path(timings_to))) if timings_to not in (None, "-") else None
            )
            write = _sink(stack, output, script.sample_rate)
            for chunk in run.timed(chunks):
                write(chunk.samples)
                if progress:
                    run.show(len(spoken))
            if timings_to is not None:
                suffix = ".json" if timings_to == "-" else Path(timings_to).suffix.lower()
                about = {"voice": script.roles[0].manifest.name, "seconds": run.seconds, "text": spoken}
                if len(script.parts) > 1:
                    about["parts"] = run.parts(script)
                # Captions are cut at the breaks that tags become; places are the same in both texts.
                made = timings.render(suffix, script.spoken, run.words, run.phonemes, about)
                if timings_file is None:
                    click.echo(made)
                else:
                    timings_file.write(made.encode())
    finally:
        if progress:
            click.echo("\r\033[K", nl=False, err=True)
        chunks.close()
    if as_json:
        common.print_json(run.summary(script, output))
    if not quiet:
        click.echo(run.line(output), err=True)


def _text(text: str | None, source: str | None) -> tuple[str, str | None]:
    """The text, and the name of the file that it is from."""
    if text is not None and source is not None:
        raise click.UsageError("the text comes either as an argument or from --file, not both")
    if text is not None and _is_path(text):
        text, source = None, text
    if text is not None:
        try:
            text.encode()  # bytes that were no text arrive as lone surrogates
        except UnicodeEncodeError:
            raise TextError("the text is not UTF-8") from None
        return text, None
    if source in (None, "-"):
        stdin = sys.stdin
        if stdin is None or (source is None and stdin.isatty()):
            raise click.UsageError("there is nothing to say: give a text, a --file, or text on standard input")
        data, where = stdin.buffer.read(), "standard input"
    else:
        where = str(source)
        try:
            data = Path(where).read_bytes()
        except OSError as error:
            raise TextError(f"{where}: cannot be read: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig"), None if source in (None, "-") else where
    except UnicodeDecodeError:
        raise TextError(f"{where}: is not UTF-8 text") from None


def _is_path(text: str) -> bool:
    """Whether TEXT is a file: one that is there, or one word that can only be the name of one, misspelt perhaps."""
    if not text.lower().endswith(".txt") or len(text) > LONGEST_PATH:
        return False
    try:
        return Path(text).is_file() or not any(c.isspace() for c in text)
    except (OSError, ValueError):  # a name too long, a NUL
        return False


def _controls(named: dict[str, float | None], others: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    for other in others:
        name, equals, value = other.partition("=")
        name = name.strip()
        try:
            number = float(value)
        except ValueError:
            raise VoiceError(f"--control {other}: expected NAME=NUMBER, such as speed=1.2") from None
        if not equals or not name:
            raise VoiceError(f"--control {other}: expected NAME=NUMBER, such as speed=1.2")
        if name in values:
            raise VoiceError(f"the control '{name}' is given twice")
        if name in ("speaker", "whole", "pace", "text", "target", "pause", "load", "self"):  # other words of `stream`
            raise VoiceError(f"--control {other}: '{name}' is no control")
        values[name] = number
    return values


def _sink(stack: ExitStack, output: str | None, sample_rate: int) -> Callable[[Any], None]:
    """Where the samples go, closed by `stack`."""
    if output is None:
        from polyvox.cli.sound import Player

        return stack.enter_context(Player(sample_rate)).write
    if output == "-":
        from polyvox.audio import pcm16

        out = sys.stdout.buffer

        def write(samples: Any) -> None:
            out.write(pcm16(samples))
            out.flush()

        return write
    from polyvox.audio import open_writer

    return stack.enter_context(open_writer(output, sample_rate)).write


class _Run:
    """What one speech took: only the time spent in making it counts, not that of a slow listener."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self.samples = 0
        self.spent = 0.0
        self.first: float | None = None
        self.words: list[Any] = []
        self.phonemes: list[Any] = []

    def timed(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        while True:
            began = time.perf_counter()
            chunk = next(chunks, None)
            self.spent += time.perf_counter() - began
            if chunk is None:
                return
            if self.first is None and len(chunk.samples):
                self.first = self.spent
            self.samples += len(chunk.samples)
            self.words += chunk.words
            self.phonemes += chunk.phonemes
            yield chunk

    @property
    def seconds(self) -> float:
        return self.samples / self._rate

    @property
    def factor(self) -> float:
        return self.spent / self.seconds if self.samples else 0.0

    def show(self, characters: int) -> None:
        done = f"{100 * self.words[-1].last / characters:3.0f} %, " if self.words else ""
        click.echo(f"\r\033[Kspeaking: {done}{self.seconds:.1f} s", nl=False, err=True)

    def line(self, output: str | None) -> str:
        name = {None: "played", "-": "standard output"}.get(output, output)
        first = common.milliseconds(self.first or 0.0)
        return f"{name}: {self.seconds:.2f} s of speech, first audio after {first}, real-time factor {self.factor:.2f}"

    def parts(self, script: Script) -> list[dict[str, Any]]:
        """Who speaks which stretch of the text, from the first word's start to the last one's end."""
        made = []
        places = [word.first for word in self.words]
        for part in script.parts:
            words = self.words[bisect_left(places, part.first) : bisect_left(places, part.last)]
            made.append(
                {
                    **_who(part.choice),
                    "start": round(words[0].start, 4) if words else None,
                    "end": round(words[-1].end, 4) if words else None,
                    "first": part.first,
                    "last": part.last,
                }
            )
        return made

    def summary(self, script: Script, output: str | None) -> dict[str, Any]:
        voice, vocoder = script.roles[0].manifest, script.roles[0].vocoder
        made = {
            "voice": voice.name,
            "vocoder": vocoder.name if vocoder else None,
            "sample_rate": script.sample_rate,
            "seconds": round(self.seconds, 4),
            "first_audio_ms": round(1e3 * (self.first or 0.0), 2),
            "real_time_factor": round(self.factor, 4),
            "file": output,
        }
        speakers = list(dict.fromkeys(part.choice for part in script.parts))
        return {**made, "speakers": [_who(choice) for choice in speakers]}


def _who(choice: Choice) -> dict[str, Any]:
    return {"voice": str(choice.voice), "speaker": choice.speaker, "language": choice.language}
