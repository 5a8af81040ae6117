"""What the serving process does about memory that many threads use for long."""

import gc
import platform
import subprocess
import sys

import pytest

pytest.importorskip("fastapi")

from polyvox.service import memory

HEAPS = """
import ctypes, sys, threading
from pathlib import Path
from polyvox.service import memory

if sys.argv[1] == "few":
    memory.few_heaps()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
inside = threading.Barrier(8)

def work():
    inside.wait()  # glibc gives a thread the heap of one that has ended
    assert library.malloc(100_000)
    inside.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(library.fopen(sys.argv[2].encode(), b"w"))
library.malloc_info(0, file)
library.fclose(file)
print(Path(sys.argv[2]).read_text().count("<heap nr="))
"""


def test_what_is_there_at_the_start_is_not_looked_through_again():
    before = gc.get_freeze_count()
    memory.set_aside()
    try:
        assert gc.get_freeze_count() > before + 10_000
        assert len(gc.get_objects()) < 1_000
    finally:
        memory.take_back()
    assert gc.get_freeze_count() == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own")
def test_threads_share_heaps(tmp_path):
    def heaps(which):
        run = [sys.executable, "-c", HEAPS, which, str(tmp_path / "info")]
        done = subprocess.run(run, capture_output=True, text=True, timeout=60)
        assert not done.returncode, done.stderr
        return int(done.stdout)

    assert heaps("few") <= memory.HEAPS < heaps("many")


def test_memory_is_counted_in_bytes():
    before = memory.resident()
    assert 10_000_000 < before < 100_000_000_000
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert memory.resident() > before + 150_000_000
