"""The low anchor of voices: espeak-ng's formant synthesis, through the library that the text front end uses too.

The library holds global state (language, output mode) that Polyvox's front end owns in its own process; so this
runs in a process of its own: `python -m polyvox.quality.formant`, JSON in, a numpy archive out.
"""

from __future__ import annotations

import ctypes
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyvox.errors import QualityError
from polyvox.tensors import Array

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, no sound device is opened
_DONT_EXIT = 0x8000
_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
# Silence left at both ends (seconds), as in the corpora; espeak adds far more.
_EDGE = 0.05
_SILENT = 0.003


def _speak(texts: Sequence[str], language: str) -> tuple[list[Array], int]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), _DONT_EXIT)
    if rate < 1 or library.espeak_SetVoiceByName(language.encode()) != 0:
        raise QualityError(f"espeak-ng has no voice for '{language}'")
    heard: list[Array] = []

    def keep(samples: Any, count: int, _events: object) -> int:
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    callback = _Callback(keep)  # kept alive here for as long as the library may call it
    library.espeak_SetSynthCallback(callback)
    unsigned, pointer = ctypes.c_uint, ctypes.c_void_p
    library.espeak_Synth.argtypes = [pointer, ctypes.c_size_t, unsigned, ctypes.c_int, unsigned, unsigned, pointer]
    library.espeak_Synth.argtypes.append(pointer)
    spoken = []
    for text in texts:
        heard.clear()
        data = ctypes.create_string_buffer(text.encode())
        library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
        samples = np.concatenate([np.zeros(1, np.int16), *heard]).astype(np.float32) / 32768
        loud = np.flatnonzero(np.abs(samples) > _SILENT)
        edge = round(_EDGE * rate)
        spoken.append(samples[max(0, loud[0] - edge) : loud[-1] + edge] if len(loud) else samples)
    return spoken, rate


def speak(texts: Sequence[str], language: str) -> tuple[list[Array], int]:
    """Speak `texts` with espeak-ng's own formant voice: float32 [samples] each, and their sample rate.

    Raises:
        QualityError: espeak-ng is not there, or has no such language.
    """
    asked = json.dumps([language, *texts]).encode()
    done = subprocess.run([sys.executable, "-m", __name__], input=asked, capture_output=True)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise QualityError(said[-1] if said else f"espeak-ng ended with {done.returncode}")
    with np.load(io.BytesIO(done.stdout)) as made:
        return [made[str(i)] for i in range(len(texts))], int(made["rate"])


def _main() -> None:
    language, *texts = json.load(sys.stdin.buffer)
    try:
        spoken, rate = _speak(texts, language)
    except QualityError as error:
        sys.exit(str(error))
    except (ImportError, OSError, AttributeError) as error:
        sys.exit(f"espeak-ng's library cannot be used: {error}")
    out = io.BytesIO()
    arrays: dict[str, Any] = {str(i): samples for i, samples in enumerate(spoken)}
    np.savez(out, rate=np.array(rate), **arrays)
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    _main()
