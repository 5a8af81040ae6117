"""Memory and start: growth over a 30-minute text, import time, first sound from a cold process.

    python benchmarks/memory.py

Asked for: a 30-minute text grows the process by at most 50 MB over a one-minute text; import of polyvox under
0.5 s; first sound from a cold process under 2 s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median

from common import arguments, row, table, text_of

COLD = """
import time
began = time.perf_counter()
import polyvox
polyvox.load  # imports what a voice needs; `import polyvox` alone does not
imported = time.perf_counter()
voice = polyvox.load({voice!r}, vocoder={vocoder!r}, target={target!r})
loaded = time.perf_counter()
next(voice.stream("Good morning, this is the first sentence."))
print(imported - began, loaded - began, time.perf_counter() - began)
"""

GROWTH = """
import resource
import polyvox
voice = polyvox.load({voice!r}, vocoder={vocoder!r}, target={target!r})
seconds = 0.0
for chunk in voice.stream({text!r}):
    seconds += chunk.seconds
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run(code: str) -> list[float]:
    """The numbers that a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__)
    options = {"voice": args.voice, "vocoder": args.vocoder, "target": args.target}
    cold = []
    for _ in range(max(3, args.repeat // 4)):
        began = time.perf_counter()
        cold.append([*run(COLD.format(**options)), time.perf_counter() - began])
    with table("cold process, s (median)", "value"):
        for i, name in enumerate(
            (
                "import of polyvox and all that a voice needs",
                "voice loaded",
                "first audio",
                "the whole process, Python's own start included",
            )
        ):
            row(name, round(median(c[i] for c in cold), 3))
    print()
    peaks = {}
    with table("text", "audio, s", "peak memory, MB"):
        for minutes in (1, 30):
            seconds, peaks[minutes] = run(GROWTH.format(text=text_of(60 * minutes), **options))
            row(f"{minutes} min", round(seconds), round(peaks[minutes], 1))
    print(f"\ngrowth from 1 to 30 minutes: {peaks[30] - peaks[1]:+.1f} MB")


if __name__ == "__main__":
    main()
