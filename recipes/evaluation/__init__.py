"""The report on the shipped voices: `recordings` reads what `python -m recipes.features` made, `report` writes pages.

What is measured, and how, is in `polyvox.quality`; `python -m recipes.evaluate` runs it all.
"""
