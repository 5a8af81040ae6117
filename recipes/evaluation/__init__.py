"""How good a voice is: figures against the recordings, each beside its anchors and with its uncertainty.

`distances`, `intervals` and `words` are arithmetic on numpy alone; `griffin_lim`, `formant` and `systems` make the
audio that is compared; `measures` holds the instruments; `report` writes the pages. `python -m recipes.evaluate`
runs it all.
"""
