import logging

import numpy as np
import pytest

from polyvox.errors import AddonError
from polyvox.text import Symbols


def test_line_number_is_the_token_id():
    symbols = Symbols.read("_\n \na\r\nː\n", where="symbols.txt")
    assert list(symbols) == ["_", " ", "a", "ː"]
    assert len(symbols) == 4
    encoded = symbols.encode(["a", " ", "ː"])
    assert encoded.dtype == np.int64
    assert encoded.tolist() == [2, 1, 3]


def test_the_last_line_may_be_a_space_without_a_line_end():
    assert list(Symbols.read("a\n ", where="x")) == ["a", " "]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", "kathleen/symbols.txt, line 3: 'a' is already the symbol of line 1"),
        ("a\n\nb\n", "kathleen/symbols.txt, line 2: a symbol is expected, the line is empty"),
        ("", "kathleen/symbols.txt: the symbol table is empty"),
    ],
)
def test_broken_tables_are_named(text, message):
    with pytest.raises(AddonError) as caught:
        Symbols.read(text, where="kathleen/symbols.txt")
    assert str(caught.value) == message


def test_unknown_symbols_are_left_out_and_logged_once_each(caplog):
    symbols = Symbols.read("a\nb", where="x")
    with caplog.at_level(logging.WARNING, logger="polyvox.text"):
        assert symbols.encode("aqbqz").tolist() == [0, 1]
        assert symbols.encode("q").tolist() == []
    assert [("'q'" in record.message, "'z'" in record.message) for record in caplog.records] == [
        (True, False),
        (False, True),
    ]
