"""Giving the processor to another thread that is ready to run."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable


def _find_yield() -> Callable[[], object]:
    """What gives the processor, and Python's lock with it, to another thread that is ready, if there is one.

    `os.sched_yield` keeps Python's lock before 3.12, and `time.sleep(0)` the processor.
    """
    try:
        found: Callable[[], object] = ctypes.CDLL(None).sched_yield
        return found
    except (OSError, TypeError, AttributeError):  # not a POSIX system
        return lambda: time.sleep(0)


let_others_run = _find_yield()
"""Give the processor away for a moment: a microsecond where nobody wants it."""
