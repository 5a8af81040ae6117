"""Blocks of one's own: one class that extends one abstraction, and one name."""

import sys
import textwrap
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

import polyvox
import tiny
from polyvox.blocks import build, connect, registry
from polyvox.errors import StackError
from polyvox.networks import Network
from polyvox.tensors import join

TEXT = "Hello there, good people. Another one!"


def with_block(folder, *blocks):
    """A tiny voice whose acoustic stack ends in these blocks."""
    tiny.vocoder(folder / "tom")
    return polyvox.load(tiny.acoustic(folder / "tim", stack=[*tiny.ARTICLE_STACK, *blocks]))


def test_a_plain_generator_is_a_streamable_block(tmp_path, registered, voice):
    @registered("Sparkle")
    class Sparkle(polyvox.StreamableBlock):
        def stream(self, tensors, upstream):
            for chunk in upstream:
                yield {**chunk, "mel": chunk["mel"] * 0}

    sparkling = with_block(tmp_path, {"type": "Sparkle"})
    silent = sparkling.say(TEXT)
    assert silent.samples.shape == voice.say(TEXT).samples.shape
    assert silent.words == voice.say(TEXT).words
    # The vocoder turns one frame of zeros into the same samples everywhere but at the edges.
    assert np.allclose(silent.samples[160:176], silent.samples[176:192])
    np.testing.assert_allclose(sparkling.say(TEXT, whole=True).samples, silent.samples, atol=1e-5)


def test_a_plain_generator_passes_on_what_its_reader_wants(tmp_path, registered):
    seen = []

    @registered("Watch")
    class Watch(polyvox.StreamableBlock):
        def stream(self, tensors, upstream):
            for chunk in upstream:
                seen.append(len(chunk["mel"]))
                yield chunk

    stream = with_block(tmp_path, {"type": "Watch"}).stream(TEXT, pace=polyvox.windows.Pace(5, 1, 5))
    next(stream)
    assert seen == [5 + tiny.CONTEXT]  # what the vocoder needs for five frames


def test_a_sequence_block_needs_only_run(tmp_path, registered, voice):
    @registered("Twice")
    class Twice(polyvox.SequenceBlock):
        def run(self, tensors):
            return {"durations": tensors["durations"] * 2}

    stack = [
        {
            **tiny.ARTICLE_STACK[0],
            "sequence_block": {"type": "SequenceBlockContainer", "blocks": [{"type": "Encoders"}, {"type": "Twice"}]},
        }
    ]
    tiny.vocoder(tmp_path / "tom")
    slow = polyvox.load(tiny.acoustic(tmp_path / "tim", stack=stack))
    words, usual = slow.say("Hello there").words, voice.say("Hello there").words
    assert [w.end for w in words] == pytest.approx([w.end * 2 for w in usual])


def test_constructor_arguments_are_the_block_s_fields(registered):
    @registered("Fields")
    class Fields(polyvox.StreamableBlock):
        def __init__(
            self,
            network: Network,
            mode: Literal["a", "b"],
            inner: polyvox.StreamableBlock | None = None,
            many: list[polyvox.SequenceBlock] | None = None,
            size: int = 3,
            **more: str,
        ) -> None:
            self.got = (network, mode, inner, many, size, more)

        def stream(self, tensors, upstream):
            yield from upstream

    network = tiny.blur()
    (made) = build([{"type": "Fields", "network": "blur", "mode": "b", "extra": "x"}], tiny.parts(network))
    assert made.got == (network, "b", None, None, 3, {"extra": "x"})
    assert made.where == "stack[0]"
    nested = {"type": "Fields", "network": "blur", "mode": "a", "inner": {"type": "Probe"}, "many": [{"type": "Probe"}]}
    with pytest.raises(StackError, match=r"stack\[0\].many\[0\].type: 'Probe' is a StreamableBlock"):
        build([nested], tiny.parts(network))
    with pytest.raises(StackError, match=r"stack\[0\].mode: .*'a' or 'b', got 'c'"):
        build([{"type": "Fields", "network": "blur", "mode": "c"}], tiny.parts(network))
    for value in ("3", 3.5, True, None, [3]):
        with pytest.raises(StackError, match=r"stack\[0\].size: "):
            build([{"type": "Fields", "network": "blur", "mode": "a", "size": value}], tiny.parts(network))


def test_a_dataclass_is_a_block_too(registered):
    @registered("Data")
    @dataclass
    class Data(polyvox.StreamableBlock):
        factor: float
        name: str = "mel"

        def stream(self, tensors, upstream):
            for chunk in upstream:
                yield {self.name: chunk[self.name] * self.factor}

    made = build([{"type": "Data", "factor": 2}], tiny.parts())
    assert join(list(made.stream({}, iter([{"mel": np.ones(2)}]))))["mel"].tolist() == [2, 2]
    with pytest.raises(StackError, match="'Data' lacks the field 'factor'"):
        build([{"type": "Data"}], tiny.parts())


def test_annotations_that_cannot_be_resolved_are_refused_by_name(registered):
    class Odd(polyvox.StreamableBlock):
        def __init__(self, size: "Nowhere" = 3) -> None:  # noqa: F821
            pass

        def stream(self, tensors, upstream):
            yield from upstream

    registered("Odd")(Odd)
    with pytest.raises(StackError, match=r"stack\[0\]: block 'Odd': .*Nowhere"):
        build([{"type": "Odd", "size": 4}], tiny.parts())


def test_a_block_extends_exactly_one_of_the_two_abstractions(registered):
    with pytest.raises(StackError, match="extends neither SequenceBlock nor StreamableBlock"):
        registered("Neither")(type("Neither", (), {}))
    both = type("Both", (polyvox.SequenceBlock, polyvox.StreamableBlock), {})
    with pytest.raises(StackError, match="Both extends both abstractions"):
        registered("Both")(both)
    with pytest.raises(StackError, match=r"block 'Decoder' is registered already, by polyvox.blocks.decoder.Decoder"):
        registered("Decoder")(type("Mine", (polyvox.StreamableBlock,), {}))
    registered("Decoder")(polyvox.blocks.Decoder)
    assert "Neither" not in registry.names()


def test_an_abstraction_that_is_not_filled_in_is_refused(registered):
    registered("Empty")(type("Empty", (polyvox.StreamableBlock,), {}))
    with pytest.raises(StackError, match=r"stack\[0\]: block 'Empty': .*abstract"):
        build([{"type": "Empty"}], tiny.parts())


@pytest.fixture
def installed(tmp_path, monkeypatch, registered):
    """Installs a package with block types for this test."""

    def install(code: str, **points: str) -> None:
        site = tmp_path / "site"
        info = site / "glitter-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "glitter.py").write_text(textwrap.dedent(code))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: glitter\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[polyvox.blocks]", *lines, ""]))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "glitter", raising=False)

    yield install
    sys.modules.pop("glitter", None)


def test_an_installed_package_s_block_is_found_by_its_entry_point(installed, tmp_path, voice):
    installed(
        """
        import polyvox

        @polyvox.block("Glitter")
        class Glitter(polyvox.StreamableBlock):
            def stream(self, tensors, upstream):
                for chunk in upstream:
                    yield {**chunk, "mel": chunk["mel"] + 1}

        class Plain(polyvox.SequenceBlock):
            def run(self, tensors):
                return {}
        """,
        Glitter="glitter:Glitter",
        Plain="glitter:Plain",
    )
    assert {"Glitter", "Plain", "Decoder"} <= set(registry.names())
    assert "glitter" not in sys.modules  # listing names imports nothing
    glittering = with_block(tmp_path, {"type": "Glitter"})
    assert not np.allclose(glittering.say(TEXT).samples, voice.say(TEXT).samples)
    assert issubclass(registry.find("Plain", "here"), polyvox.SequenceBlock)
    with pytest.raises(StackError, match=r"'Glittr' is no block type; there are .*Glitter.*Plain"):
        registry.find("Glittr", "here")


def test_a_package_that_cannot_be_imported_is_named(installed):
    installed("import nothing_of_that_name", Glitter="glitter:Glitter")
    with pytest.raises(StackError, match="here: block 'Glitter' of glitter:Glitter cannot be imported: No module"):
        registry.find("Glitter", "here")


def test_a_package_s_entry_point_that_is_no_block_is_refused(installed):
    installed("Glitter = 3", Glitter="glitter:Glitter")
    with pytest.raises(StackError, match="block 'Glitter': 3 extends neither"):
        registry.find("Glitter", "here")


def test_a_broken_package_does_not_disturb_those_who_do_not_use_it(installed, tmp_path):
    installed("raise RuntimeError", Glitter="glitter:Glitter")
    assert with_block(tmp_path).say("Hello").seconds > 0


def test_a_block_that_uses_another_block_asks_it_only_for_what_is_wanted(registered):
    """A stream handed on to another block is read as if that block were read directly."""
    network = tiny.blur(hop=16, made="audio")
    asked = []

    class Source(polyvox.StreamableBlock):
        def stream(self, tensors, upstream):
            while True:
                asked.append(upstream.wanted)
                yield {"mel": np.zeros((upstream.wanted, 2), np.float32)}

    class Around(polyvox.StreamableBlock):
        def __init__(self, inner):
            self.inner = inner

        def stream(self, tensors, upstream):
            inner = connect(self.inner, tensors, upstream)
            inner.ask(upstream.wanted)
            yield from inner

    stream = connect(Around(polyvox.blocks.Decoder(tiny.parts(network))), {}, connect(Source(), {}))
    stream.ask(160)
    assert len(next(stream)["audio"]) == 160
    assert asked == [12]


def test_streams_whose_chunks_differ_are_refused_by_name(registered):
    @registered("Fickle")
    class Fickle(polyvox.StreamableBlock):
        def stream(self, tensors, upstream):
            yield {"mel": np.zeros((2, 2), np.float32)}
            yield {"mel": np.zeros((2, 2), np.float32), "f0": np.zeros(2)}

    with pytest.raises(polyvox.PolyvoxError, match="one stream carries"):
        list(build([{"type": "Fickle"}, {"type": "Collect"}], tiny.parts()).stream({}, iter(())))
