"""The page at `/`, in a real browser, against the real service: uvicorn, the engine, tiny voices."""

import io
import re
import threading
import time
import wave
from pathlib import Path

import numpy as np
import pytest

import browsing
import polyvox
import tiny
from polyvox.audio import pcm16
from polyvox.networks.urgency import check_cancelled

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx2")
browsing.need()

from playwright.sync_api import expect  # noqa: E402

from serving import serving, settings  # noqa: E402

TEXT = "Hello there, how are you? It is a fine day, is it not?"
WORDS = TEXT.split()
LONG = "All work and no play makes a dull day, as they say. " * 40
KEY = "a-key-that-nobody-guesses"


class Gate:
    """Holds the voice `gus` up: once it is closed, `FREE` more chunks pass."""

    FREE = 6

    def __init__(self):
        self.opened = threading.Event()
        self.opened.set()
        self.left = 0

    def close(self):
        self.left = self.FREE
        self.opened.clear()

    def open(self):
        self.opened.set()

    def passing(self):
        self.left -= 1
        while self.left < 0 and not self.opened.wait(0.01):
            check_cancelled()


gate = Gate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`tim` (ann, ben), `tam` in German, and `gus`, whom `gate` holds up."""
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim")
    tiny.vocoder(made / "tom")
    tiny.speech(made / "tam", languages=["de"])
    tiny.acoustic(made / "gus", stack=[*tiny.ARTICLE_STACK, {"type": "Gated"}])
    return made


@pytest.fixture(scope="module")
def gated():
    from polyvox.blocks import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_types", dict(registry._types))

        @registry.block("Gated")
        class Gated(polyvox.StreamableBlock):
            def stream(self, tensors, upstream):
                for chunk in upstream:
                    gate.passing()
                    yield chunk

        yield


@pytest.fixture(scope="module")
def served(folder, gated):
    # Whoever is loaded has spoken already, while the gate was open.
    with serving(settings(folder, voices={"pinned": ["gus"]})) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with browsing.chromium() as opened:
        yield opened


@pytest.fixture
def page(browser, served):
    with browsing.visiting(browser, served.url) as opened:
        yield opened


@pytest.fixture
def closed():
    gate.close()
    yield gate
    gate.open()


def state(page, wanted):
    expect(page.locator("body")).to_have_attribute("data-state", wanted)


def figure(page, name):
    return float(page.locator(f"#{name}").get_attribute("value"))


def until(page, what):
    """Wait for something that only asking again can tell; Playwright's own waiting needs `eval`."""
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        page.wait_for_timeout(20)


def speak(page, text, voice=None):
    if voice is not None:
        page.get_by_label("Voice", exact=True).select_option(label=voice)
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Speak", exact=True).click()


def over(served, outcome, voice):
    """How many streams ended so."""
    found = re.search(
        rf'polyvox_streams_total{{kind="realtime",outcome="{outcome}",voice="{voice}"}} (\S+)',
        served.call(served.engine.metrics.text).decode(),
    )
    return float(found[1]) if found else 0.0


def test_a_text_is_heard_to_its_end(page, served, folder):
    speak(page, TEXT, "tim / ben")
    state(page, "done")
    assert page.locator("#status").inner_text().startswith("Done: ")
    voice = polyvox.load(folder / "tim")
    said = voice.say(TEXT, speaker="ben")
    voice.close()
    assert figure(page, "received") == pytest.approx(said.seconds, abs=1e-6)
    assert figure(page, "heard") == pytest.approx(said.seconds, abs=1e-6)
    assert figure(page, "in-hand") == 0
    with page.expect_download() as event:
        page.get_by_role("button", name="Save WAV").click()
    assert event.value.suggested_filename == "tim-ben.wav"
    with wave.open(io.BytesIO(Path(event.value.path()).read_bytes())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (tiny.RATE, 1, 2)
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    spoken = np.frombuffer(pcm16(said.samples), "<i2")
    assert len(heard) == len(spoken)
    np.testing.assert_allclose(heard, spoken, atol=80)  # chunks are cut elsewhere than in `say`


def test_it_is_heard_before_all_of_it_is_made(page, served, closed):
    before = over(served, "finished", "gus")
    speak(page, LONG[:600], "gus / ann")
    state(page, "speaking")
    until(page, lambda: figure(page, "heard") > 0.1 and page.evaluate("loudness()") > 0.001)
    assert over(served, "finished", "gus") == before
    assert page.locator("#processor").get_attribute("value") == ""  # which `done` brings
    bars = page.locator("#latency [data-stage]")
    assert [bar.get_attribute("data-stage") for bar in bars.all()] == [
        "opening", "waiting", "text", "networks", "signal", "other", "way", "player",
    ]  # fmt: skip
    took = [float(value.get_attribute("value")) for value in bars.locator("data").all()]
    assert min(took) >= 0, took
    # What was held up was heard as a gap, and is said to have been one.
    until(page, lambda: figure(page, "underruns") >= 1 and figure(page, "in-hand") == 0)
    held_up = figure(page, "received")
    closed.open()
    state(page, "done")
    assert figure(page, "heard") == figure(page, "received") > held_up


def test_words_light_up_in_order(page):
    speak(page, TEXT, "tim / ann")
    state(page, "done")
    assert page.evaluate("lit.map((word) => word.firstChild.textContent)") == WORDS
    assert page.evaluate("lit.every((word) => word.classList.contains('said'))")
    assert page.locator(".word.now").count() == 0
    # The characters of a word are its phonemes for the tiny voices, whose marks have none.
    phonemes = page.locator(".phonemes").all_text_contents()
    assert [re.sub(r"\W", "", p) for p in phonemes] == [re.sub(r"\W", "", w) for w in WORDS]
    assert page.evaluate("document.querySelector('#words p').textContent.length") > len(TEXT)
    marks = "[...document.querySelectorAll('#words .phonemes')].forEach((p) => p.remove())"
    page.evaluate(marks)
    assert page.locator("#words p").text_content() == TEXT


def test_words_beyond_the_basic_plane_are_found(page):
    text = "Hello 😀 there, 𝒲 dear 😀😀 friends."
    speak(page, text, "tim / ann")
    state(page, "done")
    lit = page.evaluate("lit.map((word) => word.firstChild.textContent)")
    assert [re.sub(r"[^a-z]", "", word, flags=re.I) for word in lit if re.search("[a-z]", word, re.I)] == [
        "Hello", "there", "dear", "friends",
    ]  # fmt: skip


def test_stop_is_silence_here_and_in_the_service(page, served, closed):
    before = over(served, "cancelled", "gus")
    speak(page, LONG, "gus / ann")
    until(page, lambda: page.evaluate("loudness()") > 0.001)
    page.get_by_role("button", name="Stop").click()
    state(page, "stopped")
    until(page, lambda: page.evaluate("loudness()") == 0)
    until(page, lambda: over(served, "cancelled", "gus") == before + 1)
    heard = figure(page, "heard")
    closed.open()
    with page.expect_download() as event:
        page.get_by_role("button", name="Save WAV").click()
    with wave.open(str(event.value.path())) as file:
        assert file.getnframes() == round(heard * tiny.RATE) > 0
    assert page.evaluate("loudness()") == 0
    assert figure(page, "heard") == heard


def test_stop_drops_what_lies_ready(page):
    speak(page, LONG, "tim / ann")
    until(page, lambda: figure(page, "heard") > 0.1 and figure(page, "in-hand") > 5)
    stopped = page.evaluate("document.getElementById('stop').click(), ear.context.currentTime")
    state(page, "stopped")
    until(page, lambda: page.evaluate("loudness()") == 0)
    # On the clock of the audio: silence came before what lay ready could have been played.
    assert page.evaluate("ear.context.currentTime") - stopped < 4


def test_speaking_again_interrupts(page, served, closed):
    before = over(served, "cancelled", "gus")
    speak(page, LONG, "gus / ann")
    until(page, lambda: figure(page, "heard") > 0)
    speak(page, "Good evening.", "tim / ann")
    state(page, "done")
    assert page.locator("#words p").inner_text().startswith("Good")
    assert page.evaluate("lit.slice(-2).map((word) => word.firstChild.textContent)") == ["Good", "evening."]
    until(page, lambda: over(served, "cancelled", "gus") == before + 1)


def test_it_plays_where_there_are_no_worklets(browser, served, closed):
    """As in a page that came over HTTP from another machine."""
    script = "Object.defineProperty(BaseAudioContext.prototype, 'audioWorklet', { value: undefined })"
    with browsing.visiting(browser, served.url, errors=("ScriptProcessorNode",), before=script) as page:
        speak(page, LONG[:600], "gus / ann")
        until(page, lambda: figure(page, "heard") > 0.1 and page.evaluate("loudness()") > 0.001)
        page.keyboard.press("Escape")
        until(page, lambda: page.evaluate("loudness()") == 0)
        speak(page, TEXT, "tim / ann")
        state(page, "done")
        assert page.evaluate("lit.length") >= len(WORDS)
        assert figure(page, "heard") == figure(page, "received") > 0


def test_it_speaks_as_one_types(page):
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(data)))
    page.get_by_label("Voice", exact=True).select_option(label="tim / ann")
    text = page.get_by_label("Text", exact=True)
    text.fill("")
    page.get_by_label("Speak as I type").check()
    expect(text).to_be_focused()
    page.keyboard.type("Hello there, how aer")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.type("re you? ")
    state(page, "speaking")
    page.keyboard.type("Fine")
    page.keyboard.press("Control+Enter")
    state(page, "done")
    assert page.evaluate("lit.map((word) => word.firstChild.textContent)") == [
        "Hello", "there,", "how", "are", "you?", "Fine",
    ]  # fmt: skip
    pieces = [line for line in sent if '"type":"text"' in line]
    assert len(pieces) >= 4  # and no word was sent before it was whole
    assert not any("aer" in piece for piece in pieces)
    assert sum('"type":"start"' in line for line in sent) == 1
    # The next word begins another one.
    page.keyboard.type(" Again. ")
    state(page, "speaking")
    page.get_by_label("Speak as I type").uncheck()
    state(page, "done")


def test_the_keyboard_is_enough(page):
    expect(page.get_by_label("Voice", exact=True)).to_be_enabled()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Voice", exact=True)).to_be_focused()
    page.keyboard.type("tim / b")
    page.keyboard.press("Tab")
    text = page.get_by_label("Text", exact=True)
    expect(text).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("Good evening.")
    page.keyboard.press("Tab")
    button = page.get_by_role("button", name="Speak", exact=True)
    expect(button).to_be_focused()
    assert button.evaluate("(element) => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    state(page, "done")
    assert page.evaluate("lit.length") == 2
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    speed = page.get_by_label("speed", exact=True)
    expect(speed).to_be_focused()
    slow = figure(page, "received")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(page.locator("output[for=control-speed]")).to_have_text("1.5×")
    text.focus()
    page.keyboard.press("Control+Enter")
    until(page, lambda: figure(page, "received") not in (0, slow))
    state(page, "done")
    assert figure(page, "received") < slow
    assert page.get_by_label("Voice", exact=True).input_value() == "tim/ben en-US"


def test_voices_are_listed_by_language(page):
    expect(page.get_by_label("Voice", exact=True)).to_be_enabled()
    groups = page.locator("#voice optgroup").evaluate_all(
        "(all) => all.map((group) => [group.label, ...[...group.children].map((option) => option.textContent)])"
    )
    # The shipped voices are there too.
    ours = [[group, *(name for name in names if name[:3] in ("gus", "tam", "tim"))] for group, *names in groups]
    assert [group for group in ours if len(group) > 1] == [
        ["American English", "gus / ann", "gus / ben", "tim / ann", "tim / ben"],
        ["German", "tam"],
    ]
    assert page.get_by_label("Voice", exact=True).input_value() == "tim/ann en-US"  # the service's default


def test_controls_are_those_of_the_voice(page):
    page.get_by_label("Voice", exact=True).select_option(label="tim / ann")
    assert page.locator(".slider label").all_text_contents() == ["speed", "brightness"]
    page.get_by_label("Voice", exact=True).select_option(label="tam")
    assert page.locator(".slider label").all_text_contents() == ["speed"]
    assert page.get_by_label("Text", exact=True).get_attribute("lang") == "de"


def test_the_blocks_are_drawn(page):
    picture = page.locator("#picture img")
    page.locator("#picture").scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    until(page, lambda: picture.evaluate("(image) => image.naturalWidth") > 100)
    assert "vocoder tom@1.0.0" in picture.get_attribute("alt")


def test_what_cannot_be_spoken_is_said(page):
    speak(page, "   ", "tim / ann")
    expect(page.get_by_role("alert")).to_have_text("There is nothing to say yet: type a text.")
    speak(page, "☃ ☃", "tim / ann")
    state(page, "done")
    speak(page, TEXT, "tim / ann")
    state(page, "done")
    expect(page.get_by_role("alert")).to_have_text("")


def test_a_voice_that_is_gone_is_named(page):
    page.evaluate(
        "WebSocket.prototype.send = ((send) => function (data) {"
        ' send.call(this, data.replace(/"voice":"[^"]*"/, \'"voice":"nobody"\')) })(WebSocket.prototype.send); 0'
    )
    speak(page, TEXT)
    state(page, "failed")
    assert "There is no voice 'nobody'" in page.get_by_role("alert").inner_text()


def test_a_lost_connection_is_said(browser, folder, gated):
    wanted = settings(folder, grace=0, voices={"pinned": ["gus"]})
    with serving(wanted) as served, browsing.visiting(browser, served.url) as page:
        gate.close()
        speak(page, LONG, "gus / ann")
        until(page, lambda: figure(page, "heard") > 0)
        served.loop.call_soon_threadsafe(served.server.stop)
        state(page, "failed")
        gate.open()
        assert page.get_by_role("alert").inner_text() != ""


def test_a_key_is_asked_for_where_one_is_needed(browser, folder, gated):
    wanted = settings(folder, keys={"required": True, "clients": {"me": KEY}})
    with serving(wanted) as served, browsing.visiting(browser, served.url, errors=("401 (Unauthorized)",)) as page:
        field = page.get_by_label("API key")
        expect(field).to_be_focused()
        expect(page.get_by_role("button", name="Speak", exact=True)).to_be_disabled()
        assert page.get_by_role("alert").inner_text() == ""
        field.fill("not the key at all")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The key is not one of this service's.")
        field.fill(KEY)
        page.keyboard.press("Enter")
        expect(field).to_be_hidden()
        speak(page, TEXT)
        state(page, "done")
        page.locator("#picture").scroll_into_view_if_needed()
        expect(page.locator("#picture img")).to_be_visible()
        # Of this tab alone, and in no address.
        assert page.evaluate("JSON.stringify(sessionStorage)").count(KEY) == 1
        assert page.evaluate("localStorage.length") == 0
        assert KEY not in page.url
        page.reload()
        expect(page.get_by_role("button", name="Speak", exact=True)).to_be_enabled()
        expect(field).to_be_hidden()


def test_no_key_is_asked_for_otherwise(page):
    expect(page.get_by_role("button", name="Speak", exact=True)).to_be_enabled()
    expect(page.get_by_label("API key")).to_be_hidden()


def test_without_scripts_it_says_what_it_is(browser, served):
    with browsing.visiting(browser, served.url, java_script_enabled=False) as page:
        assert "Type a text and hear it at once" in page.inner_text("header")
        assert "needs JavaScript" in page.inner_text("noscript")
        assert "/v1/audio/speech" in page.inner_text("noscript")


@pytest.mark.parametrize("width", [360, 700, 1600])
def test_nothing_is_wider_than_the_page(browser, served, width):
    with browsing.visiting(browser, served.url, viewport={"width": width, "height": 800}) as page:
        speak(page, LONG[:120] + " Donaudampfschifffahrtsgesellschaftskapitaenskajuete" * 2, "tam")
        page.locator("#picture").scroll_into_view_if_needed()
        expect(page.locator("#picture img")).to_be_visible()
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for box in (page.locator("#words"), page.locator("#composer")):
            assert box.evaluate("(element) => element.scrollWidth - element.clientWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(browser, served, scheme):
    """Contrasts of at least 4.5 for text and 3 for edges (WCAG 2.2, 1.4.3 and 1.4.11)."""
    with browsing.visiting(browser, served.url, color_scheme=scheme) as page:
        names = ["ground", "sheet", "ink", "faint", "edge", "accent", "on-accent", "lit", "lit-ink", "warn"]
        read = f"(root) => {names}.map((name) => getComputedStyle(root).getPropertyValue('--' + name).trim())"
        colours = dict(zip(names, page.locator("html").evaluate(read), strict=True))
    for over_, under, least in [
        ("ink", "sheet", 4.5), ("ink", "ground", 4.5), ("faint", "sheet", 4.5), ("faint", "ground", 4.5),
        ("accent", "sheet", 4.5), ("accent", "ground", 4.5), ("on-accent", "accent", 4.5), ("lit-ink", "lit", 4.5),
        ("warn", "sheet", 4.5), ("edge", "sheet", 3), ("edge", "ground", 3),
    ]:  # fmt: skip
        assert contrast(colours[over_], colours[under]) >= least, (over_, under)


def contrast(a, b):
    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_mel_is_that_of_our_features(page):
    """Drawn is what `polyvox.quality` computes of the same audio, for the features that the shipped voices have."""
    from polyvox.addons.manifest import Features
    from polyvox.quality.mel import Mel

    contract = Features.model_validate(
        {
            "kind": "mel", "sample_rate": 22050, "hop_length": 256, "bands": 80, "fft": 1024, "window": 1024,
            "f_min": 0.0, "f_max": 8000.0, "mel_scale": "slaney", "norm": "slaney",
        }
    )  # fmt: skip
    random = np.random.default_rng(5)
    sweep = np.sin(np.cumsum(np.linspace(0.01, 2.5, 256 * 40))) * 0.3 + random.normal(0, 0.01, 256 * 40)
    audio = sweep.astype(np.float32)
    page.evaluate("(samples) => { window.samples = Float32Array.from(samples) }", audio.tolist())
    spectra = page.evaluate(
        "import(new URL('page/mel.js', location)).then(({ Spectra, BANDS }) => { const made = new Spectra(22050);"
        " const out = new Float32Array(BANDS); const all = [];"
        " for (let at = 0; at + made.size <= samples.length; at += made.hop) {"
        " made.of(samples, at, out); all.push([...out]) } return all })"
    )
    ours = Mel(contract).features(audio)
    # Frame t of ours is in the middle of its window: (1024 - 256) / 2 samples, a frame and a half, later.
    aligned = Mel(contract).features(audio[128:][: 256 * 39])
    assert len(spectra) == 37
    np.testing.assert_allclose(np.array(spectra)[1:34], aligned[2:35], atol=2e-3)
    assert len(ours) == 40


def test_the_mel_is_the_same_however_audio_comes(page):
    columns = [
        page.evaluate(
            "(cuts) => import(new URL('page/mel.js', location)).then(({ Mel, BANDS }) => {"
            " const mel = new Mel(8000); let phase = 0;"
            " for (const count of cuts)"
            " mel.push(Float32Array.from({ length: count }, () => Math.sin(0.3 * (phase += 1)) * 0.5));"
            " mel.end();"
            " return [mel.spectra.hop, mel.count, [...mel.columns.slice(0, BANDS * mel.count)]] })",
            cuts,
        )
        for cuts in ([5000], [1, 2, 300, 17, 4680], [256] * 19 + [136])
    ]
    hop, count, values = columns[0]
    assert count == -(-5000 // hop)
    assert sum(values) > 0
    assert columns[1] == columns[2] == columns[0]


def test_the_page_takes_nothing_from_elsewhere(served):
    with httpx.Client(base_url=served.url) as client:
        answer = client.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|https?://(?!HOST)", answer.text)
        linked = re.findall(r'(?:href|src)="(page/[^"]+)"', answer.text)
        assert len(linked) > 5
        for name in linked:
            assert client.get(f"/{name}").status_code == 200
        again = client.get("/", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.head("/").headers["content-length"] == answer.headers["content-length"]
        for name in ("index.html", "../page.py", "..%2fpage.py", "%2e%2e/app.py", "nothing.js", "style.css/"):
            assert client.get(f"/page/{name}").status_code in (404, 405), name


def test_blocks_as_a_picture(served):
    with httpx.Client(base_url=served.url) as client:
        answer = client.get("/v1/voices/tim@1.0.0/blocks.svg")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("image/svg+xml")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "tim 1.0.0" in answer.text
        assert "tom 1.0.0" in answer.text
        assert client.get("/v1/voices/tim/blocks.svg").content == answer.content
        assert client.get("/v1/voices/nobody/blocks.svg").json()["error"]["code"] == "voice_unknown"
        assert client.get("/v1/voices/tim@9.9.9/blocks.svg").status_code == 404
        assert "/v1/voices/{name}/blocks.svg" in client.get("/openapi.json").json()["paths"]


def test_the_page_can_be_off_and_pictures_need_the_key(folder, gated):
    wanted = settings(folder, page=False, keys={"required": True, "clients": {"me": KEY}})
    with serving(wanted) as served, httpx.Client(base_url=served.url) as client:
        assert client.get("/").status_code == 404
        assert client.get("/page/app.js").status_code == 404
        assert client.get("/v1/voices/tim/blocks.svg").status_code == 401
        answer = client.get("/v1/voices/tim/blocks.svg", headers={"authorization": f"Bearer {KEY}"})
        assert answer.status_code == 200


def test_a_shipped_voice(browser):
    shipped = settings(Path("nowhere"), voices={"folders": [], "default": "kathleen"})
    with serving(shipped) as served, browsing.visiting(browser, served.url) as page:
        speak(page, "It costs $3.50, they say.", "kathleen")
        state(page, "done")
        assert page.evaluate("lit.map((word) => word.firstChild.textContent)") == [
            "It",
            "costs",
            "$3.50,",
            "they",
            "say.",
        ]
        assert re.fullmatch("k.+sts", page.locator(".phonemes").all_text_contents()[1])
