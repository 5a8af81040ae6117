"""The real server in a process of its own, and what the system tells about it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
UNLIMITED = {
    "LIMITS__STREAMS": "100000",
    "LIMITS__STREAMS_PER_CLIENT": "100000",
    "LIMITS__CONNECTIONS": "100000",
}
"""All clients of a benchmark have one address."""


@dataclass
class Server:
    """A running server.

    Attributes:
        port, wyoming: TCP ports on loopback; `wyoming` is 0 where it is off.
    """

    process: subprocess.Popen[str]
    port: int
    wyoming: int
    log: Path

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid

    def cpu(self) -> float:
        """Processor seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self) -> float:
        """Megabytes in memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 1e6

    def threads(self) -> int:
        """How many there are."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def files(self) -> int:
        """Open files and sockets."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def sockets(self) -> list[str]:
        """What each of its TCP sockets is connected to, and in which state."""
        links = [link.readlink() for link in Path(f"/proc/{self.pid}/fd").iterdir() if link.is_symlink()]
        own = {str(link)[8:-1] for link in links if str(link).startswith("socket:")}
        lines = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return [
            f"{int(f[1].rpartition(':')[2], 16)} to {int(f[2].rpartition(':')[2], 16)}, state {int(f[3], 16)},"
            f" queues {f[4]}"
            for f in lines
            if f[9] in own
        ]

    def metrics(self) -> dict[str, float]:
        """All of `/metrics`, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def autopsy(self) -> str:
        """End it, and say what each of its threads was in: for a server that does not answer any more."""
        self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        return self.log.read_text("utf-8", "replace")[-20_000:]

    def complaints(self) -> list[str]:
        """The lines of its log that are errors, or begin a traceback."""
        found = self.log.read_text("utf-8", "replace").splitlines()
        return [line for line in found if re.match(r"\S+ (error|critical) |Traceback", line)]


@contextlib.contextmanager
def served(variables: Mapping[str, object], *, guarded: bool = True, cpus: set[int] | None = None) -> Iterator[Server]:
    """Run a server for the body.

    Args:
        variables: settings, as the service's environment variables name them, without their prefix.
        guarded: False takes admission out; nothing else is another.
        cpus: the processors that it may use; all unless given.
    """
    with tempfile.TemporaryDirectory(prefix="polyvox-serve-") as folder:
        log = Path(folder, "log")
        given = {"PORT": 0, "WYOMING__ENABLED": "false", **UNLIMITED, **variables}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("POLYVOX_SERVE__")}
        environ.update({f"POLYVOX_SERVE__{name}": str(value) for name, value in given.items()})
        run = ["-m", "polyvox"] if guarded else [str(Path(__file__).with_name("unguarded.py"))]
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", *run, "serve"],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
            )
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                ports = [int(p) for p in re.findall(r":(\d+)", said)]
                if not ports:
                    raise SystemExit(f"the server did not start: {log.read_text()[-2000:]}")
                yield Server(process, ports[0], ports[1] if len(ports) > 1 else 0, log)
            finally:
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)  # at once, without letting streams finish
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def within(server: Server, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Run what a benchmark does with the server; if it takes longer, end with where everybody stands."""

    async def timed() -> T:
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            print(f"nothing after {seconds:.0f} s; the clients:", file=sys.stderr)
            for each in asyncio.all_tasks():
                each.print_stack(limit=4, file=sys.stderr)
            print(f"the server:\n{server.autopsy()}", file=sys.stderr)
            os._exit(1)
        return task.result()

    return uvloop.run(timed())


def busy() -> float:
    """Processor seconds that all of the machine has spent."""
    spent = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, stolen = (int(field) for field in spent[:8])
    return (user + nice + system + interrupts + soft + stolen) / TICKS


def setting(text: str) -> tuple[str, str]:
    """`streams.longest=0.02` as a variable and its value."""
    place, _, value = text.partition("=")
    return place.upper().replace(".", "__"), value


def saved(path: str | None, found: object) -> None:
    """Write what was found as JSON, if a place is given."""
    if path is not None:
        Path(path).write_text(json.dumps(found, indent=1), "utf-8")
