"""The low anchor of voices: espeak-ng's formant synthesis, through the library that the text front end uses too.

The library holds global state (language, output mode) that Polyvox's front end owns in its own process; so this
runs in a process of its own.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, no sound device is opened
_DONT_EXIT = 0x8000
_UTF8 = 1
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
# Silence left at both ends (seconds), as in the corpora; espeak adds far more.
_EDGE = 0.05
_SILENT = 0.003


def _speak(texts: Sequence[str], language: str) -> tuple[list[np.ndarray], int]:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), _DONT_EXIT)
    if rate < 1 or library.espeak_SetVoiceByName(language.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice for '{language}'")
    heard: list[np.ndarray] = []

    @_Callback
    def keep(samples: object, count: int, _events: object) -> int:
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(keep)
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


def speak(texts: Sequence[str], language: str) -> tuple[list[np.ndarray], int]:
    """Speak `texts` with espeak-ng's own formant voice: float32 [samples] each, and their sample rate.

    Raises:
        RuntimeError: espeak-ng is not there, or has no such language.
    """
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            return pool.submit(_speak, list(texts), language).result()
    except (ImportError, OSError, AttributeError) as error:
        raise RuntimeError(f"espeak-ng's library cannot be used: {error}") from error
