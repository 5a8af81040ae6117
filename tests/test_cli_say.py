"""`polyvox say`: what comes out, where it goes, and that mistakes are one sentence and leave no file."""

import io
import json
import sys
import types
import wave

import numpy as np
import pytest
from click.testing import CliRunner

import polyvox
import tiny_speakers
from polyvox import script
from polyvox.audio import pcm16
from polyvox.cli import cli
from polyvox.cli.sound import Player

TEXT = "Hello there, how are you? Good."


@pytest.fixture
def anyone(tmp_path_factory, monkeypatch, tmp_path):
    """The command without --voice, and voices in three languages."""
    monkeypatch.setenv("POLYVOX_PATH", str(tiny_speakers.library(tmp_path_factory.mktemp("voices"))))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **more):
        return CliRunner().invoke(cli, ["say", *arguments], **more)

    return run


@pytest.fixture
def run(tiny_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("POLYVOX_PATH", str(tiny_folder))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **more):
        return CliRunner().invoke(cli, ["say", "--voice", "tim", *arguments], **more)

    return run


def samples(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), file.readframes(file.getnframes())


def refused(result, *parts, code=1):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("polyvox: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


def test_wav_holds_what_the_voice_says(run, voice, tmp_path):
    result = run(TEXT, "-o", "out.wav")
    assert result.exit_code == 0, result.output
    rate, data = samples(tmp_path / "out.wav")
    assert rate == voice.sample_rate
    assert data == pcm16(voice.say(TEXT).samples)
    assert result.stdout == ""
    seconds = len(data) / 2 / rate
    assert result.stderr.startswith(f"out.wav: {seconds:.2f} s of speech, first audio after ")
    assert result.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav"]


def test_pcm_on_stdout_is_the_wavs_samples(run, tmp_path):
    assert run(TEXT, "-o", "out.wav").exit_code == 0
    result = run(TEXT, "-o", "-")
    assert result.exit_code == 0
    assert result.stdout_bytes == samples(tmp_path / "out.wav")[1]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [((), TEXT), (("-f", "-"), TEXT), (("-f", "text.txt"), None), ((), "\ufeff" + TEXT)],
)
def test_text_comes_from_stdin_or_a_file(run, tmp_path, arguments, given):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8-sig")
    wanted = run(TEXT, "-o", "-").stdout_bytes
    result = run(*arguments, "-o", "-", input=given)
    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes == wanted


def test_controls_and_speaker_reach_the_voice(run, voice):
    result = run(TEXT, "--speed", "1.5", "--control", "brightness=0.5", "--speaker", "ben", "-o", "-")
    wanted = pcm16(voice.say(TEXT, speaker="ben", speed=1.5, brightness=0.5).samples)
    assert result.stdout_bytes == wanted
    assert wanted != pcm16(voice.say(TEXT).samples)


def test_whole_runs_each_network_once_and_says_the_same(run, voice, tmp_path):
    assert run(TEXT, "--whole", "-o", "out.wav").exit_code == 0
    made = np.frombuffer(samples(tmp_path / "out.wav")[1], "<i2").astype(int)
    assert np.abs(made - np.frombuffer(pcm16(voice.say(TEXT, whole=True).samples), "<i2")).max() == 0


def test_fixed_target_and_another_vocoder(run, tiny_folder):
    plain = np.frombuffer(run(TEXT, "-o", "-").stdout_bytes, "<i2").astype(int)
    result = run(TEXT, "-o", "-", "--target", "cpu-fixed", "--vocoder", str(tiny_folder / "tom"))
    assert result.exit_code == 0, result.stderr
    fixed = np.frombuffer(result.stdout_bytes, "<i2").astype(int)
    assert len(fixed) == len(plain)
    assert np.abs(fixed - plain).max() <= 2


def test_json_summary(run, voice, tmp_path):
    result = run(TEXT, "-o", "out.wav", "--json", "-q")
    summary = json.loads(result.stdout)
    rate, data = samples(tmp_path / "out.wav")
    assert summary["voice"] == "tim"
    assert summary["vocoder"] == "tom"
    assert summary["file"] == "out.wav"
    assert summary["seconds"] == pytest.approx(len(data) / 2 / rate, abs=1e-4)
    assert 0 < summary["first_audio_ms"] <= 1e3 * summary["real_time_factor"] * summary["seconds"] + 0.5
    assert result.stderr == ""


def test_timings_as_json(run, voice, tmp_path):
    result = run(TEXT, "-o", "out.wav", "--timings", "out.json")
    assert result.exit_code == 0, result.stderr
    made = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    spoken = voice.say(TEXT)
    assert [w["text"] for w in made["words"]] == ["Hello", "there", "how", "are", "you", "Good"]
    assert [w["end"] for w in made["words"]] == [round(w.end, 4) for w in spoken.words]
    assert [p["text"] for p in made["phonemes"]] == [p.text for p in spoken.phonemes]
    assert made["seconds"] == pytest.approx(spoken.seconds)
    on_stdout = run(TEXT, "-o", "out.wav", "--timings", "-")
    assert json.loads(on_stdout.stdout) == made


@pytest.mark.parametrize(("suffix", "begins"), [(".srt", "1\n00:00:00,"), (".vtt", "WEBVTT\n\n00:00:00.")])
def test_timings_as_subtitles(run, tmp_path, suffix, begins):
    assert run(TEXT, "-o", "out.wav", "--timings", f"out{suffix}").exit_code == 0
    made = (tmp_path / f"out{suffix}").read_text(encoding="utf-8")
    assert made.startswith(begins)
    assert "Hello there, how are you?\n" in made
    assert "\nGood.\n" in made


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["", "-o", "out.wav"], ["empty"]),
        (["  \n ", "-o", "out.wav"], ["empty"]),
        (["...", "-o", "out.wav"], ["nothing to speak"]),
        (["hi", "-o", "out.wav", "--voice", "nobody"], ["'nobody'", "tim"]),
        (["hi", "-o", "out.wav", "--voice", "tom"], ["'tom' is a vocoder"]),
        (["hi", "-o", "out.wav", "--voice", "./no/such"], ["not found"]),
        (["hi", "-o", "out.wav", "--target", "moon"], ["'moon'", "cpu-fixed"]),
        (["hi", "-o", "out.wav", "--speaker", "zoe"], ["'zoe'", "ann, ben"]),
        (["hi", "-o", "out.wav", "--language", "de"], ["voice 'tim' does not speak 'de'", "tim/ann (en-US)"]),
        (["hi", "-o", "out.wav", "--control", "load=1"], ["'load' is no control"]),
        (["hi", "-o", "out.wav", "--speed", "9"], ["'speed'", "0.5 to 2 times"]),
        (["hi", "-o", "out.wav", "--speed", "nan"], ["'speed'"]),
        (["hi", "-o", "out.wav", "--pitch", "1"], ["no control 'pitch'", "speed, brightness"]),
        (["hi", "-o", "out.wav", "--control", "speed"], ["NAME=NUMBER"]),
        (["hi", "-o", "out.wav", "--control", "speed=fast"], ["speed=fast", "NAME=NUMBER"]),
        (["hi", "-o", "out.wav", "--control", "speaker=1"], ["'speaker' is no control"]),
        (["hi", "-o", "out.wav", "--control", "whole=1"], ["'whole' is no control"]),
        (["hi", "-o", "out.wav", "--speed", "1", "--control", "speed=1"], ["given twice"]),
        (["hi", "-o", "out.xyz"], ["'.xyz'", ".wav"]),
        (["hi", "-o", "no/such/out.wav"], ["no/such/out.wav", "cannot be written"]),
        (["hi", "-o", "out.wav", "--timings", "out.doc"], ["out.doc", ".srt"]),
        (["hi", "-o", "out.wav", "--timings", "no/such.json"], ["no/such.json", "cannot be written"]),
        (["-f", "absent.txt", "-o", "out.wav"], ["absent.txt", "cannot be read"]),
        (["-f", "bytes.txt", "-o", "out.wav"], ["bytes.txt", "UTF-8"]),
        (["caf\udce9", "-o", "out.wav"], ["UTF-8"]),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_file(run, tmp_path, arguments, parts):
    (tmp_path / "bytes.txt").write_bytes(b"caf\xe9")
    refused(run(*arguments), *parts)
    assert [p.name for p in tmp_path.iterdir()] == ["bytes.txt"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["hi", "-f", "text.txt", "-o", "out.wav"], "not both"),
        (["hi", "-o", "-", "--json"], "standard output"),
        (["hi", "-o", "-", "--timings", "-"], "standard output"),
        (["hi", "--speed", "fast"], "'fast' is not a valid float"),
        (["hi", "--volume", "11"], "--volume"),
        (["hi", "--pause", "-1"], "--pause"),
    ],
)
def test_wrong_usage_exits_with_2(run, tmp_path, arguments, part):
    refused(run(*arguments), part, code=2)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_survives_a_failure(run, tmp_path):
    (tmp_path / "out.wav").write_bytes(b"before")
    refused(run("hi", "-o", "out.wav", "--speed", "9"))
    assert (tmp_path / "out.wav").read_bytes() == b"before"


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_interrupted_in_the_middle_leaves_nothing(run, tmp_path, monkeypatch, error, code):
    real = polyvox.Voice.stream

    def stream(self, *arguments, **more):
        yield next(real(self, *arguments, **more))
        raise error

    monkeypatch.setattr(polyvox.Voice, "stream", stream)
    (tmp_path / "out.json").write_text("before")
    result = run(TEXT, "-o", "out.wav", "--timings", "out.json")
    assert result.exit_code == code
    assert result.stderr.strip() == ""
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    assert (tmp_path / "out.json").read_text() == "before"


SCRIPT = "Hello there.\n[ger] Guten Tag.\n[low/guy] Goeiedag\n[nat] Hallo daar.\n"


@pytest.mark.parametrize(
    ("arguments", "voice", "speaker"),
    [
        (["--language", "de"], "ger", "gerda"),
        (["--language", "de-AT"], "ger", "gerda"),
        (["--language", "nl-BE"], "low", "guy"),
        (["--speaker", "guy"], "low", "guy"),
        (["--voice", "low", "--speaker", "guy"], "low", "guy"),
        (["--voice", "low"], "low", "nat"),
    ],
)
def test_a_voice_is_chosen_by_name_language_or_speaker(anyone, arguments, voice, speaker):
    result = anyone("Hallo.", "-o", "-", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes == pcm16(polyvox.load(voice).say("Hallo.", speaker=speaker).samples)


def test_a_script_of_several_voices_is_one_file(anyone, tmp_path):
    (tmp_path / "play.txt").write_text(SCRIPT)
    spoken = script.say(SCRIPT, "tim", pause=0.2)
    for arguments in (["play.txt"], ["-f", "play.txt"], [SCRIPT]):
        result = anyone(*arguments, "--voice", "tim", "--pause", "0.2", "-o", "-")
        assert result.exit_code == 0, result.stderr
        assert result.stdout_bytes == pcm16(spoken.samples)
    result = anyone("play.txt", "--voice", "tim", "-o", "out.wav", "--timings", "out.json", "--json")
    summary = json.loads(result.stdout)
    assert summary["voice"] == "tim"
    assert [(s["voice"], s["speaker"], s["language"]) for s in summary["speakers"]] == [
        ("tim", "ann", "en-US"),
        ("ger", "gerda", "de"),
        ("low", "guy", "nl-BE"),
        ("low", "nat", "nl"),
    ]
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["text"] == SCRIPT
    assert [SCRIPT[w["first"] : w["last"]] for w in made["words"]] == [w["text"] for w in made["words"]]
    starts = {w["text"]: w["start"] for w in made["words"]}
    assert [p["start"] for p in made["parts"]] == [starts[w] for w in ("Hello", "Guten", "Goeiedag", "Hallo")]
    ends = [p["end"] for p in made["parts"]]
    assert all(end < part["start"] for end, part in zip(ends, made["parts"][1:], strict=False))


def test_captions_hold_no_tag_and_no_two_voices(anyone, tmp_path):
    assert anyone(SCRIPT, "--voice", "tim", "--pause", "0", "-o", "o.wav", "--timings", "o.srt").exit_code == 0
    captions = [part.split("\n")[2] for part in (tmp_path / "o.srt").read_text().strip().split("\n\n")]
    assert captions == ["Hello there.", "Guten Tag.", "Goeiedag", "Hallo daar."]


@pytest.mark.parametrize(
    ("text", "arguments", "parts"),
    [
        ("One.\n[gerd] Zwei.", [], ["play.txt: line 2: [gerd]", "[gerda]"]),
        ("One.\n[ger] ...", [], ["play.txt: line 2 (ger): the text has nothing to speak"]),
        ("One.\n[ger] Zwei.", ["--speed", "1.5"], ["voice 'ger' has no control 'speed'"]),
        ("[ger]", [], ["play.txt: the text is empty"]),
    ],
)
def test_mistakes_in_a_script_are_one_sentence_and_leave_no_file(anyone, tmp_path, text, arguments, parts):
    (tmp_path / "play.txt").write_text(text)
    refused(anyone("play.txt", "--voice", "tim", "-o", "o.wav", "--timings", "o.json", *arguments), *parts)
    assert [p.name for p in tmp_path.iterdir()] == ["play.txt"]


def test_a_voice_that_fails_in_its_turn_leaves_nothing(anyone, tmp_path, monkeypatch):
    real = script.load

    def load(name, **more):
        if name == "ger":
            raise polyvox.PolyvoxError("it fell off the shelf")
        return real(name, **more)

    monkeypatch.setattr(script, "load", load)
    refused(anyone(SCRIPT, "--voice", "tim", "-o", "o.wav", "--timings", "o.json"), "it fell off the shelf")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_ends_in_txt_is_a_file_only_if_it_can_be_one(run, voice, tmp_path):
    (tmp_path / "my notes.TXT").write_text("From a file.")
    assert run("my notes.TXT", "-o", "-").stdout_bytes == pcm16(voice.say("From a file.").samples)
    text = "See my other notes.txt"
    assert run(text, "-o", "-").stdout_bytes == pcm16(voice.say(text).samples)
    long = "Read all of it. " * 400 + "a.txt"
    assert run(long, "-o", "-").stdout_bytes == pcm16(voice.say(long).samples)
    refused(run("notes.txt", "-o", "o.wav"), "notes.txt: cannot be read: No such file")
    assert run("-o", "-", input="my notes.TXT").stdout_bytes == pcm16(voice.say("my notes.TXT").samples)
    (tmp_path / "folder.txt").mkdir()
    refused(run("folder.txt", "-o", "o.wav"), "folder.txt: cannot be read")


class FakeSound(types.ModuleType):
    """Stands in for `sounddevice`."""

    class PortAudioError(Exception):
        pass

    def __init__(self, fails=None, breaks=False):
        super().__init__("sounddevice")
        self.played, self.calls = [], []
        outer = self

        class OutputStream:
            def __init__(self, samplerate, channels, dtype):
                if fails:
                    raise outer.PortAudioError(fails)
                outer.rate = (samplerate, channels, dtype)

            def write(self, frames):
                if breaks:
                    raise outer.PortAudioError("unplugged")
                assert frames.ndim == 2
                assert frames.dtype == np.float32
                outer.played.append(frames[:, 0].copy())

            def __getattr__(self, name):
                return lambda: outer.calls.append(name)

        self.OutputStream = OutputStream


def test_without_a_file_it_plays(run, voice, monkeypatch):
    sound = FakeSound()
    monkeypatch.setitem(sys.modules, "sounddevice", sound)
    result = run(TEXT)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("played: ")
    np.testing.assert_array_equal(np.concatenate(sound.played), np.clip(voice.say(TEXT).samples, -1, 1))
    assert sound.rate == (voice.sample_rate, 1, "float32")
    assert sound.calls == ["start", "stop", "close"]


def test_no_device_suggests_a_file(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSound(fails="no default output device"))
    refused(run("hi"), "no sound device", "no default output device", "-o out.wav")


def test_absent_package_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    refused(run("hi"), "pip install 'polyvox[play]'")


def test_a_device_that_fails_is_one_sentence(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSound(breaks=True))
    refused(run(TEXT), "sound device failed: unplugged")


def test_an_error_stops_the_sound_at_once(monkeypatch):
    sound = FakeSound()
    monkeypatch.setitem(sys.modules, "sounddevice", sound)
    with pytest.raises(KeyboardInterrupt), Player(8000):
        raise KeyboardInterrupt
    assert sound.calls == ["start", "abort", "close"]


def test_progress_on_a_terminal_for_long_texts_only(run, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shown(text, *more):
        import polyvox.cli.say as module

        fake = types.SimpleNamespace(stderr=Terminal(), stdin=sys.stdin, stdout=sys.stdout)
        monkeypatch.setattr(module, "sys", fake)
        return run(text, "-o", "out.wav", *more).stderr

    long = "Many words follow one another here. " * 12
    assert "speaking: " in shown(long)
    assert " %, " in shown(long)
    assert "speaking" not in shown("Short.")
    assert shown(long, "-q") == ""
