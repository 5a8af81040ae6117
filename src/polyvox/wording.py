"""Text of addons and figures, as people read them."""

from __future__ import annotations


def clean(text: object) -> str:
    """Text of an addon, which a stranger wrote, without anything that would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def count(number: int) -> str:
    """`3.2 M`, `41 k`, `12`."""
    if number >= 1_000_000:
        return f"{number / 1e6:.1f} M"
    return f"{number / 1e3:.0f} k" if number >= 10_000 else str(number)
