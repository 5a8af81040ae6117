"""Dictation: which clauses are spoken when, with a clock of our own and an engine that writes down what it is asked."""

import asyncio
from contextlib import aclosing
from types import SimpleNamespace

import numpy as np
import pytest

from polyvox.service.dictation import Dictation
from polyvox.service.engine import Request, StreamTiming
from polyvox.service.errors import BadRequest, Busy, Stopping, TooLong
from polyvox.speech import Chunk, Timing

RATE = 1000
PAUSE = 0.25


class Speaking:
    """A second of ones for each clause, in two chunks."""

    voice, version, speaker, language, sample_rate = "tim", "1.0.0", "ann", "en-US", RATE

    def __init__(self, request):
        self.request = request
        self.timing = StreamTiming(0.0, compute=0.5)
        self.cancelled = self.closed = False

    async def __aiter__(self):
        word = Timing("w", 0.1, 0.2, 1, 3)
        yield Chunk(np.ones(400, np.float32), RATE, 0, (word,))
        await asyncio.sleep(0)
        if not self.cancelled:
            yield Chunk(np.ones(600, np.float32), RATE, 400, (), (word,), ("a hitch",))

    def cancel(self):
        self.cancelled = True

    async def aclose(self):
        self.closed = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.aclose()


class Engine:
    """Fails with the errors that it is given, one a call, before it speaks."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.opened, self.closed = [], []
        self.now = 0.0
        self.settings = SimpleNamespace(limits=SimpleNamespace(text=200))
        manifest = SimpleNamespace(
            name="tim", version="1.0.0", features=SimpleNamespace(sample_rate=RATE), text=SimpleNamespace(pause=PAUSE)
        )
        pick = SimpleNamespace(
            revision=SimpleNamespace(entry=SimpleNamespace(manifest=manifest)), speaker="ann", language="en-US"
        )
        self.shelf = SimpleNamespace(choose=lambda voice, *, speaker, language, id: pick)

    def place(self):
        return SimpleNamespace(close=lambda: self.closed.append(True))

    async def open(self, request, place):
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.opened.append(Speaking(request))
        return self.opened[-1]

    @property
    def texts(self):
        return [speaking.request.text for speaking in self.opened]


def dictation(engine, **changes):
    return Dictation(engine, Request("", voice="alias", **changes), clock=lambda: engine.now)


def told(*pieces, engine=None, **changes):
    """What is made of pieces that are all there."""

    async def main():
        made = dictation(engine, **changes)
        for piece in pieces:
            if piece is None:
                made.flush()
            else:
                made.feed(piece)
        made.end()
        return made, [chunk async for chunk in made.chunks()]

    engine = engine or Engine()
    made, chunks = asyncio.run(main())
    return engine, made, chunks


async def settled(true):
    """Wait until something is so. Waiting is real, because timeouts are; what they decide by is our own clock."""
    for _ in range(400):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_sentences_that_are_there_are_spoken_as_one():
    engine, _, chunks = told("One. T", "wo. Thr", "ee")
    assert engine.texts == ["One. Two. Three"]
    assert [len(chunk.samples) for chunk in chunks] == [400, 600]
    assert engine.closed


def test_positions_and_timings_count_from_the_start_of_the_whole():
    engine = Engine()

    async def main():
        made = dictation(engine, realtime=False)
        made.feed("One sentence. ")
        found = []
        async with aclosing(made.chunks()) as chunks:
            async for chunk in chunks:
                found.append(chunk)
                if len(found) == 2:
                    made.feed("Another one.")
                    made.end()
        return made, found

    made, chunks = asyncio.run(main())
    assert engine.texts == ["One sentence.", " Another one."]
    assert [chunk.position for chunk in chunks] == [0, 400, 1000, 1250, 1650]
    assert [len(chunk.samples) for chunk in chunks] == [400, 600, 250, 400, 600]
    assert not chunks[2].samples.any()  # the pause between sentences
    (word,) = chunks[3].words
    assert (word.first, word.last) == (14, 16)
    assert (word.start, word.end) == pytest.approx((1.35, 1.45))
    assert chunks[4].phonemes[0].first == 14
    assert chunks[1].warnings == ("a hitch",)
    assert chunks[4].warnings == ("a hitch, counted from 1.25 s",)
    assert made.totals.clauses == 2
    assert made.totals.compute == 1.0
    assert made.totals.audio == 2.25
    assert made.totals.characters == 26


def test_one_speech_has_one_voice():
    engine = Engine()

    async def main():
        made = dictation(engine, realtime=False)
        made.feed("One. ")
        async with aclosing(made.chunks()) as chunks:
            async for _ in chunks:
                if not made.ended:
                    made.feed(" Two.")
                    made.end()

    asyncio.run(main())
    assert [speaking.request.voice for speaking in engine.opened] == ["alias", "tim@1.0.0"]
    assert all(speaking.closed for speaking in engine.opened)


def test_what_is_not_whole_is_spoken_when_the_listener_would_hear_nothing():
    engine = Engine()

    async def main():
        made = dictation(engine)
        found = []

        async def listen():
            async with aclosing(made.chunks()) as chunks:
                async for chunk in chunks:
                    found.append(chunk)

        listening = asyncio.create_task(listen())
        made.feed("Come in, he sai")
        await asyncio.sleep(0.1)
        assert engine.texts == []  # more may be right behind it
        engine.now = 0.05
        await settled(lambda: len(found) == 2)
        assert engine.texts == ["Come in,"]  # heard up to 1.05
        made.feed("d, and wen")
        engine.now = 0.6
        made.feed("t ")
        await asyncio.sleep(0.1)
        assert engine.texts == ["Come in,"]
        engine.now = 0.75
        made.feed("out")
        await settled(lambda: len(found) == 4)
        assert engine.texts == ["Come in,", " he said,"]
        assert found[2].position == 1000  # no pause within a sentence
        # Heard up to 2.05. Words wait for a mark until shortly before.
        made.feed(" slowly again in")
        engine.now = 1.8
        made.feed("to")
        await asyncio.sleep(0.1)
        assert len(engine.texts) == 2
        engine.now = 1.95
        made.feed(" th")
        await settled(lambda: len(found) == 6)
        assert engine.texts[2] == " and went out slowly again into"
        made.end()
        await listening
        assert "".join(engine.texts) == "Come in, he said, and went out slowly again into th"

    asyncio.run(main())


def test_bulk_waits_for_whole_sentences():
    engine = Engine()

    async def main():
        made = dictation(engine, realtime=False)
        listening = asyncio.create_task(anext(made.chunks()))
        made.feed("Come in, he said, and went out slowly again into th")
        engine.now = 100.0
        await asyncio.sleep(0.1)
        assert engine.texts == []
        made.end()
        await listening

    asyncio.run(main())


def test_a_cancel_ends_it_and_nothing_more_is_asked_for():
    engine = Engine()

    async def main():
        made = dictation(engine, realtime=False)
        made.feed("One. ")
        found = []
        async with aclosing(made.chunks()) as chunks:
            async for chunk in chunks:
                found.append(chunk)
                made.feed("Two. ")
                made.cancel()
                made.feed("Three. ")
        made.end()
        return made, found

    made, found = asyncio.run(main())
    assert len(found) == 1
    assert engine.texts == ["One."]
    assert engine.opened[0].cancelled
    assert engine.opened[0].closed
    assert made.cancelled


def test_a_cancel_while_it_waits_for_text():
    async def main():
        made = dictation(Engine())
        listening = asyncio.create_task(anext(made.chunks(), None))
        await asyncio.sleep(0)
        made.cancel()
        assert await asyncio.wait_for(listening, 10) is None

    asyncio.run(main())


def test_closing_it_closes_the_stream_at_once():
    engine = Engine()

    async def main():
        made = dictation(engine, realtime=False)
        made.feed("One. ")
        async with aclosing(made.chunks()) as chunks:
            async for _ in chunks:
                break
        assert engine.opened[0].closed
        assert made.ended

    asyncio.run(main())


@pytest.mark.parametrize("error", [Busy("full"), Stopping("over"), BadRequest("no")])
def test_what_was_not_begun_is_refused_at_once(error):
    with pytest.raises(type(error), match=str(error)):
        told("One.", engine=Engine(error))


def test_what_cannot_be_spoken_is_left_out_with_a_warning():
    engine = Engine(BadRequest("the text has nothing to speak", code="text_unspeakable"))
    _, made, chunks = told("你好。", engine=engine)
    assert [chunk.warnings for chunk in chunks] == [("left out: the text has nothing to speak",)]
    assert made.totals.audio == 0


def test_marks_alone_are_not_asked_for():
    engine, _, chunks = told("... ", None, " — ")
    assert engine.texts == []
    assert chunks == []


def test_a_text_that_is_too_long():
    made = dictation(Engine())
    with pytest.raises(TooLong):
        made.feed("a" * 201)
    with pytest.raises(TooLong):
        Dictation(Engine(), Request("a" * 201))
