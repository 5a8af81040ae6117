"""The service among clients that behave badly, with addons swapped under it; the good ones must not notice.

    python benchmarks/soak.py                       # twenty minutes
    python benchmarks/soak.py --minutes 2

Asked for: no stream lost that was not cut by its own client, no growth, no leaked thread or task.

Bad clients leave in the middle, stop reading, and send rubbish, over HTTP, WebSocket and Wyoming. Every ten seconds a
new version of kathleen is put into a voices folder and an old one is taken away; every fourth one is broken. Good
clients compare every sample with what the library makes of the same text in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import websockets
from websockets.asyncio.client import connect
from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.tts import Synthesize, SynthesizeVoice

import polyvox
from common import row, table
from overload import SPARE, flat
from polyvox.audio import pcm16
from serving.listeners import HEADER, Line
from serving.server import Server, saved, served, within
from serving.texts import MIX, SENTENCES

SWAP = 10.0
"""Seconds between two addons."""
SAMPLE = 2.0
"""Seconds between two looks at memory, threads and files."""
STALL = 8.0
"""Seconds after which the service cuts a client that reads nothing."""
LONG = " ".join(SENTENCES["kathleen"]) * 30
ROUNDING = 2
"""Steps of 16 bits that samples may be apart."""
FEEDS_BACK = {"kerstin": 40.0}
"""Voices that feed each step into the next, so that rounding grows, where steps of texts of several lengths are joined:
how many dB the difference must be below the voice instead."""


@dataclass
class Result:
    """What was met."""

    seconds: float = 0.0
    good: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)
    worst: dict[str, int] = field(default_factory=dict)
    below: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    swaps: int = 0
    broken: int = 0
    memory: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    idle: tuple[int, int, int, int] = (0, 0, 0, 0)
    sockets: list[str] = field(default_factory=list)
    left: float = 0.0
    complaints: list[str] = field(default_factory=list)


def power(samples: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=float))))


class Soak:
    """All clients of one server."""

    def __init__(self, server: Server, folder: Path, seed: int) -> None:
        self.server, self.folder = server, folder
        self.result = Result()
        self.chance = random.Random(seed)
        self.expected: dict[tuple[str, str], np.ndarray] = {}

    def prepare(self) -> None:
        """What the library makes of all that good clients will ask for."""
        for name in MIX:
            base, _, speaker = name.partition("/")
            voice = polyvox.load(base)
            for text in (SENTENCES[name][1], " ".join(SENTENCES[name][:3]), " ".join(SENTENCES[name])):
                made = voice.say(text, speaker=speaker or None).samples
                self.expected[name, text] = np.frombuffer(pcm16(made), "<i2")
            voice.close()

    def compare(self, kind: str, name: str, text: str, data: bytes) -> None:
        """A good client's audio with the library's own."""
        wanted, found = self.expected[name, text], np.frombuffer(data, "<i2")
        self.result.good[kind] += 1
        if len(found) != len(wanted):
            self.result.differ.append(f"{kind} {name}: {len(found)} samples, expected {len(wanted)}: {text[:30]!r}")
            return
        apart = int(np.abs(found.astype(int) - wanted).max(initial=0))
        self.result.worst[name] = max(self.result.worst.get(name, 0), apart)
        below = 20 * math.log10(power(wanted) / max(power(found - wanted.astype(float)), 1e-9))
        self.result.below[name] = min(self.result.below.get(name, math.inf), below)
        if apart > ROUNDING and below < FEEDS_BACK.get(name, math.inf):
            self.result.differ.append(f"{kind} {name}: {apart} steps apart, {below:.0f} dB below: {text[:30]!r}")

    # --- good ----------------------------------------------------------------------------------------------------

    async def http(self, name: str, text: str, eager: bool = False) -> None:
        """Over HTTP, at the speed of listening unless it is eager."""
        line = await Line.open(self.server.port)
        line.eager = eager
        try:
            heard = await line.ask(name, text, keep=True)
            if heard.status == 503:
                self.result.refused += 1
                await asyncio.sleep(1)
                return
            if heard.status != 200:
                raise RuntimeError(f"status {heard.status}: {bytes(heard.data or b'')[:200]!r}")
            assert heard.data is not None
            self.compare("HTTP", name, text, bytes(heard.data[HEADER:]))
        finally:
            line.close()

    async def websocket(self, name: str, text: str) -> None:
        """Over the WebSocket, in pieces that follow one another at once."""
        async with connect(f"ws://127.0.0.1:{self.server.port}/v1/stream", max_size=None) as socket:
            await socket.send(json.dumps({"type": "start", "voice": name}))
            at = 0
            while at < len(text):
                size = self.chance.randint(1, 40)
                await socket.send(json.dumps({"type": "text", "text": text[at : at + size]}))
                at += size
            await socket.send(json.dumps({"type": "end"}))
            data = b""
            async for message in socket:
                if isinstance(message, bytes):
                    data += message
                    continue
                event = json.loads(message)
                if event["type"] == "done":
                    self.compare("WebSocket", name, text, data)
                    return
                if event["type"] == "error":
                    if event.get("code") == "busy":
                        self.result.refused += 1
                        await asyncio.sleep(1)
                        return
                    raise RuntimeError(str(event))
            raise ConnectionError("closed before it was done")

    async def wyoming(self, name: str, text: str) -> None:
        """Over Wyoming."""
        async with AsyncTcpClient("127.0.0.1", self.server.wyoming) as client:
            await client.write_event(Synthesize(text, voice=SynthesizeVoice(name=name)).event())
            data = b""
            while (event := await client.read_event()) is not None:
                if AudioChunk.is_type(event.type):
                    data += AudioChunk.from_event(event).audio
                elif AudioStop.is_type(event.type):
                    self.compare("Wyoming", name, text, data)
                    return
                elif Error.is_type(event.type):
                    error = Error.from_event(event)
                    if error.code == "busy":
                        self.result.refused += 1
                        await asyncio.sleep(1)
                        return
                    raise RuntimeError(str(error))
            raise ConnectionError("closed before the end")

    # --- bad -----------------------------------------------------------------------------------------------------

    async def vanishing_http(self) -> None:
        """Leaves in the middle."""
        line = await Line.open(self.server.port)
        task = asyncio.create_task(line.ask(self.chance.choice(MIX), LONG))
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # that it was cut is meant
        try:
            await asyncio.sleep(self.chance.choice((0.0, 0.01, 0.1, 1.0, 2.0)))
        finally:
            line.close()
        with suppress(ConnectionError):
            await task

    async def stalling_http(self) -> None:
        """Asks for much and reads nothing."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1024)
        body = json.dumps({"input": LONG, "response_format": "wav", "sample_rate": 48000}).encode()
        writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            await asyncio.sleep(STALL + self.chance.uniform(-4, 6))
        finally:
            writer.transport.abort()

    async def rubbish_http(self) -> None:
        """Sends what is no request, or none that can be answered."""
        kind = self.chance.randrange(4)
        body = self.chance.choice((b"{", b"[]", b'{"input": 3}', b'{"input": "a", "voice": "../../x"}', b"\xff" * 100))
        head = b"POST /v1/audio/speech HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\n"
        sent = {
            0: self.chance.randbytes(self.chance.randint(1, 5000)),
            1: head + b"content-length: %d\r\n\r\n" % len(body) + body,
            2: head + b"content-length: 1000\r\n\r\n" + body,
            3: head + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + body,
        }[kind]
        await self._throw(self.server.port, sent)

    async def rubbish_wyoming(self) -> None:
        """Sends what is no event."""
        sent = self.chance.choice(
            (
                self.chance.randbytes(self.chance.randint(1, 5000)),
                b'{"type": "synthesize", "data": {"text": 3}}\n',
                b'{"type": "synthesize", "data_length": 100000}\n{"te',
                b'{"type": "' + b"x" * 100_000,
            )
        )
        await self._throw(self.server.wyoming, sent)

    async def _throw(self, port: int, data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            with suppress(ConnectionError, TimeoutError):
                writer.write(data)
                async with asyncio.timeout(self.chance.uniform(0.05, 1.0)):
                    while await reader.read(65536):
                        pass
        finally:
            writer.transport.abort()

    async def vanishing_wyoming(self) -> None:
        """Leaves in the middle."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.server.wyoming)
        body = json.dumps({"type": "synthesize", "data": {"text": LONG}}).encode()
        writer.write(body + b"\n")
        try:
            await asyncio.sleep(self.chance.choice((0.0, 0.05, 0.5, 2.0)))
        finally:
            writer.transport.abort()

    async def vanishing_websocket(self) -> None:
        """Leaves, or cancels and leaves, in the middle."""
        socket = await connect(f"ws://127.0.0.1:{self.server.port}/v1/stream")
        try:
            await socket.send(json.dumps({"type": "start", "voice": self.chance.choice(MIX)}))
            await socket.send(json.dumps({"type": "text", "text": LONG}))
            await asyncio.sleep(self.chance.choice((0.0, 0.05, 0.5, 2.0)))
            if self.chance.random() < 0.5:
                await socket.send(json.dumps({"type": "cancel"}))
        finally:
            socket.transport.abort()

    async def rubbish_websocket(self) -> None:
        """Sends what is no message."""
        kind = self.chance.randrange(3)
        if kind == 0:  # frames that are none
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
            writer.write(
                b"GET /v1/stream HTTP/1.1\r\nhost: s\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
            )
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.chance.randbytes(500) + struct.pack(">BBQ", 0x81, 0xFF, 1 << 62))
                await asyncio.sleep(0.2)
            finally:
                writer.transport.abort()
            return
        with suppress(websockets.ConnectionClosed):
            async with connect(f"ws://127.0.0.1:{self.server.port}/v1/stream", max_size=None) as socket:
                for _ in range(self.chance.randint(1, 120)):
                    await socket.send(
                        self.chance.choice(
                            (
                                "{",
                                "[]",
                                "null",
                                '{"type": "text", "text": 3}',
                                '{"type": "start", "voice": "../.."}',
                                '{"type": "end"}',
                                b"\x00\xff",
                            )
                        )
                    )
                if kind == 1:
                    await socket.recv()

    # --- addons --------------------------------------------------------------------------------------------------

    async def swap(self) -> None:
        """A new version of kathleen beside the old ones; the oldest goes."""
        while True:
            await asyncio.sleep(SWAP)
            result = self.result
            result.swaps += 1
            await asyncio.to_thread(self._swap, result.swaps)

    def _swap(self, number: int) -> None:
        shipped = Path(polyvox.__file__).parent / "voices" / "kathleen"
        made = self.folder / f".{number}"
        shutil.copytree(shipped, made)
        manifest = json.loads((made / "addon.json").read_text("utf-8"))
        manifest["version"] = f"1.0.{number}"
        (made / "addon.json").write_text(json.dumps(manifest), "utf-8")
        if number % 4 == 0:
            self.result.broken += 1
            for network in list(made.rglob("*.onnx"))[:1]:
                network.write_bytes(network.read_bytes()[:1000])
        made.rename(self.folder / f"kathleen-{number}")
        shutil.rmtree(self.folder / f"kathleen-{number - 3}", ignore_errors=True)

    # --- all -----------------------------------------------------------------------------------------------------

    async def good_client(self, kind: Callable[[str, str], Awaitable[None]], number: int) -> None:
        """One after another."""
        asks = [key for key in self.expected if key[0] == MIX[number % len(MIX)]]
        while True:
            name, text = self.chance.choice(asks)
            try:
                async with asyncio.timeout(90):
                    await kind(name, text)
            except Exception as error:
                self.result.lost.append(f"{kind.__name__} {name}: {type(error).__name__}: {str(error)[:200]}")
                await asyncio.sleep(1)

    async def bad_client(self, kind: Callable[[], Awaitable[None]], pause: float) -> None:
        """One after another."""
        while True:
            with suppress(OSError, EOFError, websockets.WebSocketException):
                await kind()
            self.result.bad[kind.__name__] += 1
            await asyncio.sleep(self.chance.uniform(0, 2 * pause))

    async def watch(self) -> None:
        """Memory, threads, files."""
        while True:
            await asyncio.sleep(SAMPLE)
            result, server = self.result, self.server
            result.memory.append(server.rss())
            result.threads.append(server.threads())
            result.files.append(server.files())

    async def run(self, seconds: float) -> Result:
        """All of it."""
        self.prepare()
        result, server = self.result, self.server
        for name, text in self.expected:  # every voice loaded, every codec warm
            await self.http(name, text, eager=True)
        await asyncio.sleep(2)
        idle = server.threads(), server.files()
        good = [self.http, self.websocket, self.wyoming]
        bad = (
            (self.vanishing_http, 0.5),
            (self.stalling_http, 2.0),
            (self.stalling_http, 2.0),
            (self.rubbish_http, 0.2),
            (self.vanishing_websocket, 0.5),
            (self.rubbish_websocket, 0.5),
            (self.vanishing_wyoming, 0.5),
            (self.rubbish_wyoming, 0.2),
        )
        tasks = [asyncio.create_task(self.good_client(kind, i)) for kind in good for i in range(len(MIX))]
        tasks += [asyncio.create_task(self.bad_client(*each)) for each in bad]
        tasks += [asyncio.create_task(self.swap()), asyncio.create_task(self.watch())]
        began = time.monotonic()
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        result.seconds = time.monotonic() - began
        for _ in range(40):
            await asyncio.sleep(0.5)
            if server.files() <= idle[1] and not server.metrics()["polyvox_streams"]:
                break
        result.idle = (*idle, server.threads(), server.files())
        result.sockets = server.sockets()
        result.left = server.metrics()["polyvox_streams"]
        result.complaints = server.complaints()
        return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="where to write all that was found")
    args = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="polyvox-soak-") as folder:
        variables = {
            "VOICES__FOLDERS": json.dumps([folder]),
            "VOICES__RESCAN": 2,
            "STREAMS__STALL": STALL,
            "WYOMING__ENABLED": "true",
            "WYOMING__PORT": 0,
        }
        with served(variables) as server:
            result = within(
                server, 60 * args.minutes + SPARE, Soak(server, Path(folder), args.seed).run(60 * args.minutes)
            )
    warm, last = flat(result.memory)
    with table(f"soak, {result.seconds / 60:.1f} min", "found", "asked for"):
        row("good streams", ", ".join(f"{n} {kind}" for kind, n in result.good.items()), "-")
        row("of them refused (503)", result.refused, "-")
        row("lost", len(result.lost), "0")
        row("unlike the library's audio", len(result.differ), "0")
        row(
            "most steps of 16 bits apart",
            ", ".join(f"{n}: {v}" for n, v in sorted(result.worst.items())),
            f"{ROUNDING}, but for {', '.join(FEEDS_BACK)}",
        )
        for name, least in FEEDS_BACK.items():
            row(
                f"{name}: the difference is below the voice by, dB",
                round(result.below.get(name, math.inf)),
                f"{least:g}",
            )
        row("bad clients", ", ".join(f"{n} {kind}" for kind, n in sorted(result.bad.items())), "-")
        row("addons swapped, of them broken", f"{result.swaps}, {result.broken}", "-")
        row("memory, warm and in the end, MB", f"{warm:.0f}, {last:.0f}", "flat")
        row("threads idle before and after", f"{result.idle[0]}, {result.idle[2]}", "equal")
        quarter = max(1, len(result.threads) // 4)
        quarters = [max(result.threads[i : i + quarter], default=0) for i in range(0, 4 * quarter, quarter)]
        row("most threads in each quarter", ", ".join(map(str, quarters)), "no growth")
        row("files and sockets idle before and after", f"{result.idle[1]}, {result.idle[3]}", "equal")
        row("streams left", int(result.left), "0")
        row("errors in the log", len(result.complaints), "0")
    if result.idle[1] != result.idle[3]:
        print("\n".join(["", "sockets in the end:", *result.sockets]))
    for line in [*result.lost[:5], *result.differ[:5], *result.complaints[:5]]:
        print(line)
    saved(args.json, vars(result))


if __name__ == "__main__":
    main()
