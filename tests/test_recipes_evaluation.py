"""The pages that the evaluation of the shipped voices writes."""

import json

import pytest
from recipes.evaluation.report import BEGIN, END, Section, write_json, write_page

from polyvox.errors import QualityError
from polyvox.quality.tables import COPY, GRIFFIN_LIM, NATURAL, Table

CLIP = {"pesq": 4.6, "stoi": 1.0, "mcd": 0.0, "f0": 0.0, "voicing": 0.0, "dnsmos": 3.1}


def full_table():
    table = Table("t", COPY, (NATURAL, GRIFFIN_LIM))
    for row in (NATURAL, GRIFFIN_LIM, "ours"):
        table.add(row, ["x", "y"], [CLIP, {**CLIP, "pesq": 4.0}])
    return table


@pytest.mark.parametrize("broken", [NATURAL, GRIFFIN_LIM])
def test_table_without_an_anchor_is_refused_and_nothing_is_written(broken, tmp_path):
    page, file = tmp_path / "voices.md", tmp_path / "evaluation.json"
    page.write_text("as it was")
    for spoil in (lambda t: t.rows.pop(broken), lambda t: t.rows[broken].pop("dnsmos")):
        table = full_table()
        spoil(table)
        section = Section("s", "voices", "s", table)
        with pytest.raises(QualityError, match=f"table 't' is not printed: its anchor row '{broken}'"):
            write_page(page, [section])
        with pytest.raises(QualityError, match=broken):
            write_json(file, [section])
    assert page.read_text() == "as it was"
    assert not file.exists()


def test_page_keeps_what_stands_around_the_markers(tmp_path):
    page = tmp_path / "voices.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    for _ in range(2):
        write_page(page, [Section("title", "vocoders", "s", full_table())])
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n\n## Vocoders")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "old" not in text
    page.write_text(f"{BEGIN} alone")
    with pytest.raises(QualityError, match="only one of the markers"):
        write_page(page, [Section("title", "vocoders", "s", full_table())])


def test_json_holds_every_interval(tmp_path):
    write_json(tmp_path / "e.json", [Section("title", "vocoders", "corpus", full_table(), {"ours": "ours 1.0"})])
    found = json.loads((tmp_path / "e.json").read_text())["vocoders"]["corpus"]
    assert found["rows"]["ours"]["pesq"] == {"value": 4.3, "low": 4.0, "high": 4.6, "clips": 2, "sentences": 2}
    assert found["systems"] == {"ours": "ours 1.0"}
