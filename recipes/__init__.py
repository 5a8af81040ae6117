"""How the shipped voices were made: recordings and texts -> features -> training -> addon.

Nothing in `src/polyvox` imports this; it needs `pip install -r recipes/requirements.txt`.
"""
