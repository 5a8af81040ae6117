"""What listeners ask for: sentences of each voice's language, and texts of one to six of them."""

from __future__ import annotations

import random

ENGLISH = (
    "The harbour lay quiet in the morning, and a small boat went out over the grey water to the islands.",
    "Nobody had expected the letter, which came on a Tuesday.",
    "Please wait.",
    "Between the two hills runs a narrow road that the farmers have used for three hundred years.",
    "It was late when they came home, and the lamp was still burning in the window of the kitchen.",
)
GERMAN = (
    "Der Hafen lag am Morgen still, und ein kleines Boot fuhr über das graue Wasser zu den Inseln hinaus.",
    "Niemand hatte den Brief erwartet, der an einem Dienstag kam.",
    "Bitte warten.",
    "Zwischen den beiden Hügeln läuft eine schmale Straße, die die Bauern seit dreihundert Jahren benutzen.",
    "Es war spät, als sie nach Hause kamen, und im Fenster der Küche brannte noch die Lampe.",
)
DUTCH = (
    "De haven lag stil in de ochtend, en een kleine boot voer over het grijze water naar de eilanden.",
    "Niemand had de brief verwacht, die op een dinsdag kwam.",
    "Even geduld.",
    "Tussen de twee heuvels loopt een smalle weg die de boeren al driehonderd jaar gebruiken.",
    "Het was laat toen ze thuiskwamen, en de lamp brandde nog in het raam van de keuken.",
)
SENTENCES = {
    "kathleen": ENGLISH,
    "kerstin": GERMAN,
    "lowlands/nathalie": DUTCH,
    "lowlands/flemishguy": DUTCH,
}
LENGTHS = (1, 1, 2, 3, 6)
MIX = tuple(SENTENCES)


def text_of(voice: str, chance: random.Random) -> str:
    """A text of one to six sentences."""
    sentences = SENTENCES.get(voice, ENGLISH)
    return " ".join(chance.choice(sentences) for _ in range(chance.choice(LENGTHS)))
