"""Chunks of audio to bytes, files and the sound device."""

from polyvox.audio.encoding import FORMATS, Encoder, encoder
from polyvox.audio.files import AudioWriter, open_writer, save_audio, wav_bytes
from polyvox.audio.levels import Levels
from polyvox.audio.pcm import pcm16
from polyvox.audio.resampling import Resampler

__all__ = [
    "FORMATS",
    "AudioWriter",
    "Encoder",
    "Levels",
    "Resampler",
    "encoder",
    "open_writer",
    "pcm16",
    "save_audio",
    "wav_bytes",
]
