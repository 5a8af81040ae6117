"""`polyvox inspect` of several voices: side by side, what they share seen at a glance."""

import json
import os
import xml.etree.ElementTree as ElementTree

import pytest
from click.testing import CliRunner

import tiny
import tiny_attention
from polyvox.cli import cli

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def several(tiny_folder, tmp_path, monkeypatch):
    """`tim`, `tam` and `tom` of every test, and beside them `ada`, which attends, with a `tom` that is a copy."""
    own = tmp_path / "own"
    tiny_attention.acoustic(own / "ada")
    tiny.vocoder(own / "tom")
    monkeypatch.setenv("POLYVOX_PATH", f"{tiny_folder}{os.pathsep}{own}")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["inspect", *arguments])


def test_equal_blocks_stand_beside_each_other(several):
    result = several("tim", "ada")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    tree = [
        [part.strip(" │├└─") for part in (line[:58], line[58:61], line[61:])] for line in lines if "tim 1" not in line
    ]
    tree = [row for row in tree if row[0].startswith("Streamable") or "Encoder" in row[0] or "coder" in row[2]]
    assert ["StreamablePipeline", "=", "StreamablePipeline"] in tree
    assert ["Encoders", "=", "Encoders"] in tree
    assert ["Encoder text_encoder  777", "=", "Encoder encoder  515"] in tree
    assert ["Encoder prosody  8", "", ""] in tree
    assert any(row[1:] == ["", "AttentionDecoder speaker  135"] for row in tree)
    # The vocoder is the same although it lies in two places: it is shown once.
    assert [line for line in lines if "the vocoder of" in line] == [
        "tom 1.0.0, the vocoder of tim, ada; 895 parameters; 0.0 MB"
    ]
    assert "in all: StreamablePipeline, Encoders, Encoder, the vocoder tom" in lines
    assert "only in tim: StreamableStack, Upsampler, Decoder" in lines
    assert "only in ada: AttentionGuard, AttentionDecoder" in lines


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_columns_fit_however_many(several, count):
    names = ["tim", "ada", "tam", "tim", "ada", "tam", "tim", "ada", "tam"][:count]
    result = several(*names)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 120
    assert result.stdout.count("AttentionDecoder s") == names.count("ada")


def test_several_as_json(several):
    report = json.loads(several("tim", "ada", "tam", "--json").stdout)
    assert [a["name"] for a in report["addons"]] == ["tim", "tom", "ada", "tam"]
    comparison = report["comparison"]
    assert comparison["voices"] == ["tim", "ada", "tam"]
    assert comparison["vocoders"] == [{"name": "tom", "version": "1.0.0", "voices": ["tim", "ada"]}]
    assert comparison["blocks"]["Upsampler"] == ["tim", "tam"]
    assert comparison["blocks"]["AttentionGuard"] == ["ada"]
    rows = comparison["rows"]
    assert all(len(row) == 3 for row in rows)
    upsamplers = next(row for row in rows if row[0] and row[0]["type"] == "Upsampler")
    assert upsamplers[2]["type"] == "Upsampler"
    # Each column, read from top to bottom, is that voice's tree.
    assert [row[0]["type"] for row in rows if row[0]] == [
        "StreamablePipeline", "Encoders", "Encoder", "Encoder", "Encoder", "StreamableStack", "Upsampler", "Decoder",
    ]  # fmt: skip


def test_voices_of_one_name_are_told_apart(several, tmp_path):
    tiny.vocoder(tmp_path / "copy" / "tom")
    tiny.edit(tiny.acoustic(tmp_path / "copy" / "mine"), lambda m: m.update(name="tim"))
    result = several("tim", str(tmp_path / "copy" / "mine"))
    assert "tim (tim) 1.0.0" in result.stdout
    assert "tim (mine) 1.0.0" in result.stdout
    assert "only in" not in result.stdout


def test_vocoders_beside_each_other(several, tmp_path):
    louder = tiny.vocoder(tmp_path / "loud", stack=[{"type": "Vocoder"}, {"type": "Gain", "decibels": 6}])
    result = several("tom", str(louder), "--picture", "two.svg")
    assert "in all: Vocoder" in result.stdout
    assert "only in loud: StreamableStack, Gain" in result.stdout
    texts = texts_of(tmp_path / "two.svg")
    assert texts.count("audio [samples]") == 2
    assert texts.count("mel") == 2


def texts_of(path):
    return [t.text.strip() for t in ElementTree.parse(path).getroot().iter(f"{SVG}text")]


def test_several_as_a_picture(several, tmp_path):
    result = several("tim", "tam", "ada", "--picture", "all.svg")
    assert result.exit_code == 0, result.output
    svg = ElementTree.parse(tmp_path / "all.svg").getroot()
    width, height = float(svg.get("width")), float(svg.get("height"))
    rects = [r for r in svg.iter(f"{SVG}rect") if r.get("x")]
    framed = [r for r in rects if r.get("stroke")]
    ribbons = [r for r in rects if not r.get("stroke")][:-1]  # the last one is the legend's

    def place(rect):
        return tuple(float(rect.get(n)) for n in ("x", "y", "width", "height"))

    found = [place(r) for r in framed]
    for x, y, w, h in found:
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
    for i, (ax, ay, aw, ah) in enumerate(found):
        for bx, by, bw, bh in found[i + 1 :]:
            apart = ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
            # With some room on every side.
            inside = ax + 4 <= bx and ay + 4 <= by and bx + bw + 4 <= ax + aw and by + bh + 4 <= ay + ah
            within = bx + 4 <= ax and by + 4 <= ay and ax + aw + 4 <= bx + bw and ay + ah + 4 <= by + bh
            assert apart or inside or within
    texts = texts_of(tmp_path / "all.svg")
    # Voices of one vocoder stand together, and it is drawn once beneath them.
    assert [t for t in texts if t.endswith(" 1.0.0")] == ["tim 1.0.0", "ada 1.0.0", "tam 1.0.0", "tom 1.0.0"]
    assert texts.count("vocoder addon, shared by tim, ada; 895 parameters") == 1
    placed = {}
    for text in svg.iter(f"{SVG}text"):
        placed.setdefault(text.text.strip(), []).append((float(text.get("x")), float(text.get("y"))))
        assert float(text.get("x")) + 5 * len(text.text) < width + 12
    for shared in ("StreamablePipeline", "Encoders", "Upsampler", "Decoder"):
        assert len(placed[shared]) >= 2
        assert len({y for _, y in placed[shared]}) == 1, shared
    bottom = max(y for _, y in placed["Decoder"])
    assert placed["tom 1.0.0"][0][1] > bottom
    # Ribbons lie beside what they join; blocks that one stack alone has are of another colour.
    assert ribbons
    for x, y, w, h in map(place, ribbons):
        assert w > 0
        beside = [b for b in found if abs(b[1] - y) < 0.2 and abs(b[3] - h) < 0.2]
        assert any(abs(bx + bw - x) < 0.2 for bx, _, bw, _ in beside) or any(
            abs(bx - x - w) < 0.2 for bx, _, _, _ in beside
        )
    fills = {}
    for rect in framed:
        x, y, w, h = place(rect)
        for title in ("AttentionGuard", "AttentionDecoder", "Upsampler", "Decoder"):
            if any(abs(tx - x - 14) < 0.2 and y < ty < y + 25 for tx, ty in placed[title]):
                fills.setdefault(title, set()).add(rect.get("fill"))
    assert fills["AttentionGuard"] == fills["AttentionDecoder"] != fills["Upsampler"]
    assert len(fills["Decoder"]) == 1
    assert fills["Decoder"] == fills["Upsampler"]


def test_several_as_png(several, tmp_path):
    pytest.importorskip("matplotlib")
    assert several("tim", "ada", "--picture", "all.png").exit_code == 0
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["tim", "tom"], "'tom' is a vocoder and 'tim' is none"),
        (["tim", "nobody"], "'nobody'"),
        (["tom", "tom", "--vocoder", "tom"], "takes no vocoder"),
        (["tim", "tam", "--trace", "t"], "--trace is of one addon, and 2 were given"),
        (["tim", "tam", "--alignment", "a.png"], "--alignment is of one addon"),
        (["tim", "tam", "--picture", "x.gif"], ".svg, .png"),
    ],
)
def test_mistakes_are_one_sentence(several, tmp_path, arguments, part):
    result = several(*arguments)
    assert result.exit_code == 1
    assert part in result.stderr
    assert result.stderr.startswith("polyvox: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
