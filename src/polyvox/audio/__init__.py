"""Chunks of audio to bytes, files and the sound device."""

from polyvox.audio.files import AudioWriter, open_writer, save_audio, wav_bytes
from polyvox.audio.pcm import pcm16

__all__ = ["AudioWriter", "open_writer", "pcm16", "save_audio", "wav_bytes"]
