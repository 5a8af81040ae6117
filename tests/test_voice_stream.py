"""A voice: text in, a stream of audio out."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvox
import tiny
from polyvox.errors import AddonError, TextError, VoiceError
from polyvox.speech import Speech, Timer
from polyvox.text import Utterance, Word
from polyvox.tracing import Trace
from polyvox.windows import Pace

TEXT = "Hello there, good people. I have 25 apples - and a pear! Is this the third? Yes."


def close(got, expected):
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def whole(voice):
    return voice.say(TEXT, whole=True)


@pytest.fixture(scope="module", params=["tim", "tam"])
def any_voice(request, tiny_folder):
    """Of two networks, and end to end."""
    return polyvox.load(tiny_folder / request.param)


def test_stream_joined_is_what_say_gives_and_what_the_whole_is(any_voice):
    chunks = list(any_voice.stream(TEXT))
    said, whole = any_voice.say(TEXT), any_voice.say(TEXT, whole=True)
    assert len(chunks) > 4
    joined = Speech.join(chunks, any_voice.sample_rate)
    np.testing.assert_array_equal(joined.samples, said.samples)
    assert joined.words == said.words == whole.words
    assert joined.phonemes == said.phonemes == whole.phonemes
    close(said.samples, whole.samples)
    assert np.std(said.samples) > 0.05
    assert said.samples.dtype == np.float32
    assert said.seconds == len(said.samples) / 8000


@settings(max_examples=25)
@given(st.integers(1, 80), st.floats(1, 4), st.integers(1, 200))
def test_every_pace_gives_the_same(voice, whole, first, growth, maximum):
    got = Speech.join(voice.stream(TEXT, pace=Pace(first, growth, maximum)), 8000)
    close(got.samples, whole.samples)
    assert got.words == whole.words


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 50, 10_000])
def test_chunks_have_the_size_that_was_asked_for_and_their_positions_add_up(any_voice, frames):
    position, sizes = 0, []
    for chunk in any_voice.stream("Hello there, good people", pace=Pace(frames, 1, frames)):
        assert chunk.position == position
        assert chunk.sample_rate == 8000
        assert chunk.seconds == len(chunk.samples) / 8000
        position += len(chunk.samples)
        sizes.append(len(chunk.samples))
    assert position == len(any_voice.say("Hello there, good people").samples)
    sizes = [size for size in sizes if size]
    assert all(size == frames * tiny.HOP for size in sizes[:-2])
    assert all(size <= (frames + tiny.CONTEXT) * tiny.HOP for size in sizes)


# Words


def test_word_timings_cover_the_words_in_order_once_each(any_voice):
    speech = any_voice.say(TEXT)
    words = ["Hello", "there", "good", "people", "I", "have", "25", "apples", "and", "a", "pear"]
    words += ["Is", "this", "the", "third", "Yes"]
    assert [w.text for w in speech.words] == words
    assert [TEXT[w.first : w.last] for w in speech.words] == words
    edges = [edge for w in speech.words for edge in (w.start, w.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= speech.seconds
    assert all(w.end > w.start for w in speech.words)


def test_phonemes_lie_inside_their_words_without_gaps(voice):
    speech = voice.say(TEXT)
    for word in speech.words:
        inside = [p for p in speech.phonemes if p.first == word.first]
        assert inside[0].start == word.start
        assert inside[-1].end == word.end
        if word.text != "25":  # "twenty five" has a space
            assert "".join(p.text for p in inside).lower() == word.text.lower()
            assert all(a.end == b.start for a, b in itertools.pairwise(inside))


def test_a_word_comes_with_the_chunk_in_which_it_ends(voice):
    given_words = []
    for chunk in voice.stream(TEXT, pace=Pace(5, 1, 5)):
        begin, end = chunk.position / 8000, chunk.position / 8000 + chunk.seconds
        for word in chunk.words:
            assert begin - 1e-9 <= word.end <= end + 1e-9
        given_words += chunk.words
    assert tuple(given_words) == voice.say(TEXT).words


@pytest.mark.parametrize("between", ["_", " "])
def test_symbols_between_the_others_do_not_cut_words(tmp_path, between):
    tiny.vocoder(tmp_path / "tom")
    folder = tiny.edit(tiny.acoustic(tmp_path / "tim"), lambda m: m["text"].update(between=between, start="^", end="$"))
    speech = polyvox.load(folder).say("Hello there, you 2. Bye")
    assert [w.text for w in speech.words] == ["Hello", "there", "you", "2", "Bye"]
    assert "".join(p.text for p in speech.phonemes).lower() == "hellothereyoutwobye"


def test_a_timer_skips_tokens_without_frames():
    words = (Word("ab", 0, 2), Word("c", 3, 4))
    utterance = Utterance(np.arange(4), np.array([0, 0, -1, 1]), ("a", "b", " ", "c"), words, "ab c", 0, 4)
    timer = Timer(utterance, 100, 100)
    timer.add(np.array([0, 0]), 20)
    assert timer.finished() == ((), ())
    timer.add(np.array([0, 3, 3]), 30)  # neither "b" nor the space has a frame
    words_, phonemes = timer.finished()
    assert [(w.text, w.start, w.end) for w in words_] == [("ab", 1.0, 1.3)]
    assert [p.text for p in phonemes] == ["a"]
    words_, phonemes = timer.end()
    assert [(w.text, w.start, w.end) for w in words_] == [("c", 1.3, 1.5)]
    assert timer.end() == ((), ())


# Pauses


def test_pauses_stand_between_sentences_only(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    folder = tiny.edit(tiny.acoustic(tmp_path / "tim"), lambda m: m["text"].update(pause=0.5, max_tokens=12))
    with_pauses = polyvox.load(folder)
    folder = tiny.edit(folder, lambda m: m["text"].update(pause=0))
    without = polyvox.load(folder)
    # Each sentence is cut into several utterances of 12 tokens.
    for text, pauses in (("Hello there good people", 0), ("Hello there good people. A second. And a third", 2)):
        longer, shorter = with_pauses.say(text), without.say(text)
        assert len(longer.samples) - len(shorter.samples) == pauses * 4000
        silent = [c for c in with_pauses.stream(text) if len(c.samples) == 4000 and not c.samples.any()]
        assert len(silent) == pauses
    assert without.say("One. Two").words[1].start < with_pauses.say("One. Two").words[1].start - 0.49


# Controls and speakers


def test_controls_change_what_is_spoken(voice):
    usual = voice.say("Hello there")
    close(voice.say("Hello there", speed=1.0, brightness=0).samples, usual.samples)
    assert voice.say("Hello there", speed=0.5).seconds > 1.4 * usual.seconds
    assert voice.say("Hello there", speed=2).seconds < 0.8 * usual.seconds
    bright = voice.say("Hello there", brightness=1.0)
    assert bright.samples.shape == usual.samples.shape
    assert not np.allclose(bright.samples, usual.samples)


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ({"pitch": 1.0}, "voice 'tim' has no control 'pitch'; it has speed, brightness"),
        ({"speed": 0.4}, "'speed' of voice 'tim' must be 0.5 to 2 times, not 0.4"),
        ({"speed": 2.1}, "must be 0.5 to 2 times"),
        ({"speed": float("nan")}, "must be 0.5 to 2 times, not nan"),
        ({"speed": "fast"}, "must be 0.5 to 2 times, not 'fast'"),
        ({"brightness": None}, "must be -1 to 1, not None"),
        ({"speaker": "carl"}, "voice 'tim' has no speaker 'carl'; it has ann, ben"),
    ],
)
def test_controls_and_speakers_are_checked_before_anything_is_promised(voice, controls, words):
    with pytest.raises(VoiceError, match=words):
        voice.stream("Hello", **controls)
    with pytest.raises(VoiceError, match=words):
        voice.say("Hello", **controls)


def test_a_network_reads_the_speaker(tmp_path, registered):
    """A stack of one's own with a network that reads which speaker was chosen."""
    from onnx import helper

    tiny.vocoder(tmp_path / "tom")
    folder = tiny.acoustic(tmp_path / "tim")
    add = [
        helper.make_node("Cast", ["speaker"], ["number"], to=1),
        helper.make_node("Unsqueeze", ["number", "axes"], ["wide"]),
        helper.make_node("Add", ["encoded", "wide"], ["spoken"]),
    ]
    data = tiny.graph(
        {"encoded": ("float32", ["tokens", 8]), "speaker": ("int64", [])},
        {"spoken": ("float32", ["tokens", 8])},
        add,
        {"axes": np.array([1, 2])},
    )
    (folder / "speakers.onnx").write_bytes(data)

    def change(manifest):
        hidden = {"dtype": "float32", "axes": ["tokens", 8]}
        manifest["networks"]["speakers"] = {
            "role": "encoder",
            "graph": "speakers.onnx",
            "inputs": {"encoded": hidden, "speaker": {"dtype": "int64", "axes": []}},
            "outputs": {"spoken": hidden},
        }
        sequence = {"type": "SequenceBlockContainer", "blocks": [{"type": "Encoders"}, {"type": "Rename"}]}
        manifest["stack"][0]["sequence_block"] = sequence

    @registered("Rename")
    class Rename(polyvox.SequenceBlock):
        def run(self, tensors):
            return {"encoded": tensors["spoken"]}

    voice = polyvox.load(tiny.edit(folder, change))
    first, ann, ben = voice.say("Hello"), voice.say("Hello", speaker="ann"), voice.say("Hello", speaker="ben")
    np.testing.assert_array_equal(first.samples, ann.samples)
    assert not np.allclose(ann.samples, ben.samples)


def test_a_voice_without_speakers_says_so(tiny_folder):
    with pytest.raises(VoiceError, match="voice 'tam' has no speaker 'ann'; it has one"):
        polyvox.load(tiny_folder / "tam").say("Hello", speaker="ann")


@pytest.mark.parametrize("text", ["", "   ", "...", None, 3])
def test_what_cannot_be_spoken_is_refused_before_anything_is_promised(voice, text):
    with pytest.raises(TextError):
        voice.stream(text)


# Threads, closing, laziness


def test_threads_give_what_each_would_alone(voice):
    texts = [f"Hello number {n}, good people. And goodbye!" for n in range(6)]
    alone = [voice.say(text) for text in texts]
    results = {}
    start = threading.Barrier(len(texts))

    def work(number):
        start.wait()
        results[number] = Speech.join(voice.stream(texts[number], pace=Pace(3 + number, 1, 9)), 8000)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(alone):
        close(results[number].samples, expected.samples)
        assert results[number].words == expected.words


def test_interleaved_streams_of_one_voice_do_not_disturb_each_other(voice):
    texts = ["Hello there, good people.", "A text of another kind entirely. Two sentences."]
    got = [[], []]
    streams = [voice.stream(text, pace=Pace(4, 1, 4)) for text in texts]
    for pair in itertools.zip_longest(*streams):
        for mine, chunk in zip(got, pair, strict=True):
            if chunk is not None:
                mine.append(chunk)
    for text, chunks in zip(texts, got, strict=True):
        close(Speech.join(chunks, 8000).samples, voice.say(text).samples)


@pytest.fixture
def traced(tiny_folder):
    """A voice and the trace of what it runs."""
    trace = Trace()
    voice = polyvox.load(tiny_folder / "tim", trace=trace)
    trace.restart()
    return voice, trace


def runs(trace):
    return [span.name for span in trace.spans if span.track == "networks"]


def test_nothing_runs_before_the_first_pull_and_little_for_it(traced):
    voice, trace = traced
    stream = voice.stream(TEXT, pace=Pace(4, 1, 4))
    assert runs(trace) == []
    next(stream)
    assert sorted(runs(trace)) == ["decoder", "duration_predictor", "prosody", "text_encoder", "vocoder"]
    frames = {s.name: s.details for s in trace.spans if s.track == "networks"}
    assert frames["vocoder"]["mel"] == [4 + 2, 8]
    assert frames["decoder"]["encoded"] == [4 + 2 + 2, 8]
    stream.close()


def test_a_vocoder_stack_of_several_blocks_asks_for_no_more(tiny_folder, tmp_path):
    trace = Trace()
    stack = [{"type": "Vocoder"}, {"type": "Gain", "decibels": -6}]
    quiet = tiny.vocoder(tmp_path / "tom", stack=stack)
    voice = polyvox.load(tiny_folder / "tim", vocoder=quiet, trace=trace)
    next(voice.stream(TEXT, pace=Pace(4, 1, 4)))
    frames = {s.name: s.details for s in trace.spans if s.track == "networks"}
    assert frames["decoder"]["encoded"] == [4 + 2 + 2, 8]
    loud = polyvox.load(tiny_folder / "tim").say(TEXT).samples
    close(voice.say(TEXT).samples * 10 ** (6 / 20), loud)


def test_closing_stops_the_work_and_the_voice_speaks_on(traced, whole):
    voice, trace = traced
    stream = voice.stream(TEXT, pace=Pace(4, 1, 4))
    for _ in range(3):
        next(stream)
    before = len(runs(trace))
    stream.close()
    assert len(runs(trace)) == before
    assert next(stream, None) is None
    assert len(runs(trace)) == before
    close(voice.say(TEXT).samples, whole.samples)


def test_a_long_text_is_read_as_it_is_spoken(tiny_folder, monkeypatch):
    from polyvox.text.characters import CharacterFrontEnd

    read = []
    original = CharacterFrontEnd.phonemes

    def counted(self, text, offset=0):
        read.append(text)
        return original(self, text, offset)

    monkeypatch.setattr(CharacterFrontEnd, "phonemes", counted)
    voice = polyvox.load(tiny_folder / "tim")
    stream = voice.stream(" ".join(f"Sentence {n}." for n in range(2000)))
    next(stream)
    assert len(read) <= 1
    heard = next(n for n, chunk in enumerate(stream) if any(w.text == "2" for w in chunk.words))
    assert heard > 2
    assert 3 <= len(read) <= 4
    stream.close()


# Joining addons


@pytest.mark.parametrize("name", ["tim", "tam"])
def test_the_name_and_the_rates(tiny_folder, name):
    voice = polyvox.load(tiny_folder / name)
    assert (voice.name, voice.sample_rate, voice.hop_length) == (name, 8000, 16)
    assert len(voice.stacks) == (2 if name == "tim" else 1)


def test_addons_whose_features_differ_do_not_join(tiny_folder, tmp_path):
    features = {**tiny.FEATURES, "f_max": 3800.0, "mel_scale": "htk"}
    other = tiny.vocoder(tmp_path / "other", features=features)
    words = r"'tim' and 'other' do not join, their features differ in f_max \(4000.0 and 3800.0\), mel_scale \(slaney"
    with pytest.raises(VoiceError, match=words):
        polyvox.load(tiny_folder / "tim", vocoder=other)


def test_a_vocoder_is_given_by_path_or_by_a_name_beside(tiny_folder, tmp_path, whole):
    folder = tiny.acoustic(tmp_path / "tim", vocoder=None)
    with pytest.raises(VoiceError, match="'tim' names no vocoder; give one"):
        polyvox.load(folder)
    for given_vocoder in (
        tiny_folder / "tom",
        str(tiny_folder / "tom"),
        tiny.archive(tiny_folder / "tom", tmp_path / "v.addon"),
    ):
        close(polyvox.load(folder, vocoder=given_vocoder).say(TEXT).samples, whole.samples)
    with pytest.raises(VoiceError, match="'ghost' is no addon here"):
        polyvox.load(tiny_folder / "tim", vocoder="ghost")
    with pytest.raises(AddonError, match="not found"):
        polyvox.load(tiny_folder / "tim", vocoder=tmp_path / "ghost")


def test_what_makes_no_voice_is_refused(tiny_folder):
    with pytest.raises(VoiceError, match="'tom' is a vocoder, which speaks no text"):
        polyvox.load(tiny_folder / "tom")
    with pytest.raises(VoiceError, match="'tim' is of kind 'acoustic', expected a vocoder"):
        polyvox.load(tiny_folder / "tim", vocoder=tiny_folder / "tim")
    with pytest.raises(VoiceError, match="'tam' is of kind 'speech' and needs no vocoder"):
        polyvox.load(tiny_folder / "tam", vocoder=tiny_folder / "tom")


def test_speech_is_shown_as_a_player_and_saved(voice, tmp_path):
    speech = voice.say("Hello")
    assert speech._repr_html_().startswith('<audio controls src="data:audio/wav;base64,')
    speech.save(tmp_path / "hello.wav")
    assert (tmp_path / "hello.wav").stat().st_size == 44 + 2 * len(speech.samples)
    assert "phonemes" not in repr(speech)


def test_a_trace_shows_every_network_call(traced):
    voice, trace = traced
    voice.say("Hello there. And more")
    assert runs(trace).count("text_encoder") == 2
    assert trace.seconds("networks") > 0
    assert trace.seconds("text") > 0
    events = trace.perfetto()["traceEvents"]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"text", "networks"}
    assert sum(e["ph"] == "X" for e in events) == len(trace.spans)
    trace.mark("heard", "listener")
    assert trace.perfetto()["traceEvents"][-1]["ph"] == "i"


def test_a_sentence_longer_than_the_largest_compiled_length_is_split(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    tiny.edit(tmp_path / "tim", lambda m: m["text"].update(max_tokens=5000))
    voice = polyvox.load(tmp_path / "tim", target="cpu-fixed")
    long = "many words without any mark " * 40
    words = [word.text for word in voice.say(long).words]
    assert words == long.split()
