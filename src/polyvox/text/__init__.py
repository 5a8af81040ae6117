"""Text to tokens: sentences, normalisation, phonemes, symbols, and what a model's encoders read."""

from polyvox.text.front_ends import front_end
from polyvox.text.sentences import sentences
from polyvox.text.symbols import Symbols
from polyvox.text.types import FrontEnd, Phonemes, Sentence, Utterance, Word
from polyvox.text.utterances import utterances

__all__ = [
    "FrontEnd",
    "Phonemes",
    "Sentence",
    "Symbols",
    "Utterance",
    "Word",
    "front_end",
    "sentences",
    "utterances",
]
