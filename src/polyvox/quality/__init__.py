"""How good a voice is: figures against recordings, each beside its anchors and with its uncertainty.

`distances`, `intervals`, `tables` and `words` are arithmetic on numpy alone; `mel` and `pitch` analyse recordings by
an addon's feature contract; `griffin_lim` and `formant` make the anchors and `systems` all audio that is compared;
`instruments` measures one file and `measuring` many; `reference` reads a folder of recordings and texts, `comparing`
fills the tables, and `gate` judges them: `polyvox check --reference`. What it needs is in the extra `quality`.
"""
