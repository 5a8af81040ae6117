"""Numbers in words, from num2words."""

from __future__ import annotations

import re
from functools import lru_cache

# Longer ones are read digit by digit: nobody says them as one number.
MAX_DIGITS = 15


@lru_cache(maxsize=4096)
def words_of(number: int, language: str, form: str = "cardinal") -> tuple[str, ...]:
    """Return the words of a number; `form` is num2words' "cardinal" or "ordinal".

    Raises NotImplementedError where num2words does not know the language or the form.
    """
    # num2words is imported late: it takes longer than everything else here.
    from num2words import num2words

    said: str = num2words(number, lang=language, to=form)
    return tuple(word for word in re.split(r"[\s,]+", said) if word)


def plain_number(digits: str, language: str) -> tuple[str, ...]:
    """Return the words of a run of digits, or the digits themselves in a language without number words."""
    for name in (language.replace("-", "_"), language.partition("-")[0]):
        try:
            if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
                return tuple(word for digit in digits for word in words_of(int(digit), name))
            return words_of(int(digits), name)
        except NotImplementedError:
            continue
    return (digits,)
