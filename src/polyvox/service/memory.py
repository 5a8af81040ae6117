"""What the process asks of its memory, which many threads use for long."""

from __future__ import annotations

import ctypes
import gc
import resource
from contextlib import suppress
from pathlib import Path

HEAPS = 2
"""Heaps of the C library. Unless told otherwise glibc makes up to eight a processor, and each grows to the most that
the threads in it ever needed at once: of 520 MB that 40 streams took on two processors, 360 lay there, and it went on
growing; with two it was 390, and stayed."""

M_ARENA_MAX = -8
"""From glibc's malloc.h."""


def resident() -> int:
    """Bytes of memory that the process has now."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def few_heaps() -> None:
    """Let threads share heaps; to be called before there are any. C libraries other than glibc have no such call."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)


def trim() -> None:
    """Give what was freed back to the system: glibc keeps it. Other C libraries have no such call and need none."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def set_aside() -> None:
    """Take what is there for good out of what the garbage collector looks through.

    Its rare full collections hold up every thread otherwise, for 40 ms and more: a voice runs dry, a refusal is late.
    Voices are loaded later, and stay within its sight.
    """
    import onnxruntime  # noqa: F401 - which the first voice would bring, with objects that stay too

    gc.collect()
    gc.freeze()


def take_back() -> None:
    """Undo `set_aside`."""
    gc.unfreeze()
