"""`polyvox inspect` and `polyvox bench`: the tree, the pictures, the trace and the figures."""

import json
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from click.testing import CliRunner

import polyvox
import tiny
from polyvox import StreamableBlock, block
from polyvox.blocks import SequenceBlock
from polyvox.cli import cli
from polyvox.tensors import Specs
from polyvox.tracing import Trace

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run(tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("POLYVOX_PATH", str(tiny_folder))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, list(arguments))


def test_tree_of_a_voice_shows_both_stacks(run):
    result = run("inspect", "tim")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    tree = [line for line in lines if "─ " in line]
    assert [line.partition("─ ")[2].split("  ")[0] for line in tree] == [
        "Encoders",
        "Encoder 'text_encoder'",
        "Encoder 'duration_predictor'",
        "Encoder 'prosody'",
        "StreamableStack",
        "Upsampler",
        "Decoder 'decoder'",
    ]
    assert tree[1].startswith("│  ├─ ")
    assert tree[-1].startswith("   └─ ")
    assert "encoded [frames, 8], token_position [frames], brightness -> mel [frames, 8]" in tree[-1]
    assert "context 2+2 frames" in tree[-1]
    upsampler = tree[-2]
    assert "durations [tokens], encoded [tokens, 8] -> encoded [frames, 8]" in upsampler
    assert any(line.startswith("Vocoder 'vocoder'  mel [frames, 8] -> audio [samples]") for line in lines)


def test_network_table_counts_parameters(run):
    lines = run("inspect", "tom").stdout.splitlines()
    row = next(line for line in lines if line.startswith("vocoder"))
    # Two convolutions of kernel 3, their biases, and the three integers that the graph holds.
    parameters = 12 * tiny.BANDS * 3 + 12 + tiny.HOP * 12 * 3 + tiny.HOP + 1 + 2
    assert f" {parameters} " in row
    assert "2+2 frames" in row


def test_fixed_target_shows_its_sizes(run):
    assert "compiled" not in run("inspect", "tom").stdout
    assert "frames compiled to 64, 128, 256, 512" in run("inspect", "tom", "--target", "cpu-fixed").stdout


def test_json_nests_as_the_blocks_do(run):
    report = json.loads(run("inspect", "tim", "--json").stdout)
    acoustic, vocoder = report["addons"]
    pipeline = acoustic["blocks"]
    assert pipeline["type"] == "StreamablePipeline"
    [[encoders], [stack]] = pipeline["blocks"]
    ranks = [[e["networks"][0] for e in rank] for rank in encoders["blocks"]]
    assert ranks == [["text_encoder"], ["duration_predictor", "prosody"]]
    decoder = stack["blocks"][1][0]
    assert decoder["reads"]["encoded"] == "float32 [frames, 8]"
    assert decoder["passes"] == ["token_index", "token_frames"]
    assert decoder["context"] == [{"left": 2, "right": 2, "hop": 1}]
    assert vocoder["networks"]["vocoder"]["stream"]["hop"] == tiny.HOP
    total = sum(n["parameters"] for n in acoustic["networks"].values())
    assert pipeline["parameters"] == total > 0


@block("TestCliKeyword")
class Keyword(StreamableBlock):
    """Holds blocks where Polyvox has never seen them, and calls their specs in its own way."""

    def __init__(self, inner: StreamableBlock, preparation: list[SequenceBlock]) -> None:
        self.hidden = (inner,)
        self.preparation = preparation

    def stream(self, tensors, upstream):
        return self.hidden[0].stream(tensors, upstream)

    def specs(self, tensors, upstream):
        return self.hidden[0].specs(tensors=tensors, upstream=Specs(upstream.known))


def test_blocks_of_others_are_described(run, tmp_path):
    stack = [
        {
            "type": "TestCliKeyword",
            "inner": {"type": "Vocoder"},
            "preparation": [{"type": "Encoder", "network": "vocoder"}],
        }
    ]
    tiny.vocoder(tmp_path / "own" / "odd", stack=stack)
    result = run("inspect", str(tmp_path / "own" / "odd"))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.startswith("├─ Vocoder 'vocoder'  mel [frames, 8] -> audio [samples]") for line in lines)
    assert any(line.startswith("└─ Encoder 'vocoder'") for line in lines)


def boxes(svg):
    return [
        (float(r.get("x")), float(r.get("y")), float(r.get("width")), float(r.get("height")))
        for r in svg.iter(f"{SVG}rect")
        if r.get("x")
    ]


def test_svg_nests_boxes_and_keeps_texts_inside(run, tmp_path):
    result = run("inspect", "tim", "--picture", "tim.svg")
    assert result.exit_code == 0, result.output
    svg = ElementTree.parse(tmp_path / "tim.svg").getroot()
    width, height = float(svg.get("width")), float(svg.get("height"))
    found = boxes(svg)
    # Two addons; eight blocks in the first, one in the second; two in the legend.
    assert len(found) == 2 + 8 + 1 + 2
    for x, y, w, h in found:
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
    for i, (ax, ay, aw, ah) in enumerate(found):
        for bx, by, bw, bh in found[i + 1 :]:
            apart = ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay
            inside = ax <= bx and ay <= by and bx + bw <= ax + aw and by + bh <= ay + ah
            assert apart or inside
    texts = [t.text.strip() for t in svg.iter(f"{SVG}text")]
    for wanted in ("StreamablePipeline", "Encoders", "'decoder'", "context 2+2 frames", "mel [frames, 8]"):
        assert wanted in texts
    for text in svg.iter(f"{SVG}text"):
        assert float(text.get("x")) + 5 * len(text.text) < width
    arrows = list(svg.iter(f"{SVG}polyline"))
    # Into the voice, one to two encoders, on to the stack, inside it, to the vocoder, out.
    assert len(arrows) == 1 + 2 + 1 + 1 + 1 + 1
    assert len(list(svg.iter(f"{SVG}polygon"))) == len(arrows)
    *to_boxes, out = [[tuple(map(float, p.split(","))) for p in a.get("points").split()] for a in arrows]

    def on_an_edge(point):
        px, py = point
        beside = any(y <= py <= y + h and abs(px - x) < 0.2 for x, y, w, h in found)
        return beside or any(x <= px <= x + w and abs(py - y) < 0.2 for x, y, w, h in found)

    assert all(on_an_edge(points[-1]) for points in to_boxes)
    assert not on_an_edge(out[-1])
    assert out[-1][1] < height


def test_svg_needs_no_matplotlib_and_png_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run("inspect", "tom", "--picture", "tom.svg").exit_code == 0
    (tmp_path / "tom.svg").unlink()
    for arguments in (["--picture", "tom.png"], ["--trace", "t"]):
        result = run("inspect", "tim", *arguments)
        assert result.exit_code == 1
        assert "pip install 'polyvox[plot]'" in result.stderr
        assert list(tmp_path.iterdir()) == []


def test_png(run, tmp_path):
    pytest.importorskip("matplotlib")
    result = run("inspect", "tim", "--picture", "tim.png")
    assert result.exit_code == 0, result.output
    from matplotlib.image import imread

    pixels = imread(tmp_path / "tim.png")
    assert pixels.shape[1] > pixels.shape[0] > 400
    assert (pixels[2, 2, :3] == 1).all()  # light background
    assert (pixels[..., :3].min(axis=2) < 0.5).mean() > 0.005  # and something on it


def test_trace_writes_a_timeline_and_a_perfetto_file(run, tmp_path):
    pytest.importorskip("matplotlib")
    result = run("inspect", "tim", "--trace", "t", "--text", "Hello there, all of you.")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    events = json.loads((tmp_path / "t.perfetto.json").read_text())["traceEvents"]
    names = [e["name"] for e in events if e["ph"] == "X"]
    assert names.count("text_encoder") == 1
    assert names.count("vocoder") >= 1
    chunks = [e for e in events if e["name"] == "chunk"]
    spoken = polyvox.load("tim").say("Hello there, all of you.")
    assert sum(c["args"]["seconds"] for c in chunks) == pytest.approx(spoken.seconds)
    assert "first audio after " in result.stdout
    assert any(line.startswith("framework ") for line in result.stdout.splitlines())


def test_trace_figures_add_up(run):
    pytest.importorskip("matplotlib")
    trace = json.loads(run("inspect", "tim", "--json", "--trace", "t").stdout)["trace"]
    assert sum(s["share"] for s in trace["stages"]) == pytest.approx(1, abs=0.01)
    assert sum(s["ms"] for s in trace["stages"]) == pytest.approx(trace["ms"], rel=0.01)
    assert 0 < trace["first_audio_ms"] <= trace["ms"]
    assert {s["stage"]: s["calls"] for s in trace["stages"]}["text_encoder"] == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["nobody"], "'nobody'"),
        (["tim", "--picture", "x.gif"], ".svg, .png"),
        (["tim", "--picture", "no/such/x.svg"], "cannot be written"),
        (["tom", "--trace", "t"], "is a vocoder"),
        (["tom", "--vocoder", "tom"], "takes no vocoder"),
        (["tim", "--target", "moon"], "'moon'"),
    ],
)
def test_mistakes_are_one_sentence(run, tmp_path, arguments, part):
    result = run("inspect", *arguments)
    assert result.exit_code == 1
    assert part in result.stderr
    assert result.stderr.startswith("polyvox: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_voice_without_vocoder_is_shown_alone(run, tmp_path):
    lone = tiny.acoustic(tmp_path / "lone", vocoder=None)
    result = run("inspect", str(lone))
    assert result.exit_code == 0
    assert "lone names no vocoder" in result.stdout
    assert "--vocoder" in run("inspect", str(lone), "--trace", "t").stderr


def test_bench_figures(run):
    result = run("bench", "tim", "--repeat", "2", "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["repeat"] == 2
    for times in figures["first_audio_ms"].values():
        assert 0 < times["median"] <= times["p95"]
    for factor in figures["real_time_factor"].values():
        assert 0 < factor["median"] <= factor["p95"]
    from polyvox.cli.bench import LONG

    assert figures["long_text_s"] == pytest.approx(polyvox.load("tim").say(LONG).seconds, abs=1e-3)
    assert sum(s["share"] for s in figures["stages"]) == pytest.approx(1, abs=0.01)
    assert figures["load_s"] > 0


def test_bench_says_what_each_figure_is(run):
    result = run("bench", "tim", "--repeat", "1")
    assert result.exit_code == 0, result.output
    for figure in ("loading", "first audio, short text", "real-time factor, whole", "framework"):
        assert any(line.startswith(figure) for line in result.stdout.splitlines())
    assert result.stderr == ""


def test_bench_of_nobody(run):
    result = run("bench", "nobody")
    assert result.exit_code == 1
    assert result.stderr.startswith("polyvox: 'nobody'")


def test_a_trace_shows_what_blocks_compute_beside_the_networks():
    trace = Trace()
    polyvox.load("kathleen", trace=trace).say("Good morning.")
    signal = {span.name for span in trace.spans if span.track == "signal"}
    assert signal == {"PhaseRefiner"}
    assert trace.seconds("signal") > 0
