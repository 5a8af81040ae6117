// The page: what was asked for, what came, and what is heard.

import { Blocks } from "./blocks.js";
import { showLatency } from "./latency.js";
import { Mel } from "./mel.js";
import { Player } from "./player.js";
import { get, keepKey, key, ROOT, ServiceError } from "./service.js";
import { Spectrogram } from "./spectrogram.js";
import { Stream } from "./stream.js";
import { Typing } from "./typing.js";
import { listVoices, readControls, showAbout, showControls } from "./voices.js";
import { wav } from "./wav.js";
import { Words } from "./words.js";

const SAMPLES = {
  en: "The first words are on their way to you before the last ones have been made. That is all there is to streaming: nobody waits for the end of a sentence to hear its beginning.",
  de: "Die ersten Wörter sind schon unterwegs, bevor die letzten entstanden sind. Niemand muss auf das Ende eines Satzes warten, um seinen Anfang zu hören.",
  nl: "De eerste woorden zijn al onderweg voordat de laatste zijn gemaakt. Niemand hoeft op het einde van een zin te wachten om het begin te horen.",
};

const $ = (id) => document.getElementById(id);
const form = $("composer");

const words = new Words($("words"));
const spectrogram = new Spectrogram($("mel"));
const blocks = new Blocks($("picture"));
const player = new Player({ began, dry, over });
const stream = new Stream(new URL("v1/stream", ROOT), { message: told, audio: arrived, lost });
const typing = new Typing($("text"), {
  onWords: sendLive,
  onPause: () => now?.live && !now.ended && stream.say({ type: "flush" }),
});

let meanings = new Map(); // what the values of the list of voices mean
let now = null; // the utterance that was asked for last
let count = 0;

// --- asking --------------------------------------------------------------------------------------------------------

class Utterance {
  constructor(live) {
    this.id = `page-${(count += 1)}`;
    this.live = live;
    this.voice = meanings.get($("voice").value);
    this.rate = this.voice.offer.sample_rate;
    this.mel = null;
    this.blocks = []; // Int16Arrays, as they came
    this.samples = 0; // that came
    this.kept = null; // that were heard before it was stopped
    this.underruns = 0;
    this.waiting = ""; // text typed before the connection was there
    this.marks = { pressed: performance.now() };
    this.begun = false; // it was asked for
    this.ended = false; // its text is whole
    this.made = false; // the service is done with it
    this.over = false; // so is the player
  }

  get heard() {
    return this.kept ?? Math.min(player.heard, this.samples);
  }
}

async function begin(text, live) {
  stop("");
  const own = (now = new Utterance(live));
  const { offer, language } = own.voice;
  words.begin(text, language);
  say("Connecting…");
  setState("connecting");
  try {
    [own.rate] = await Promise.all([player.open(own.rate), stream.open(key())]);
    if (own !== now || own.over) return;
    own.mel = new Mel(own.rate);
    player.begin(!live);
    const start = { type: "start", id: own.id, voice: offer.id, format: "pcm", phonemes: true };
    if (language) start.language = language;
    if (own.rate !== offer.sample_rate) start.sample_rate = own.rate;
    const controls = readControls($("sliders"));
    if (Object.keys(controls).length) start.controls = controls;
    own.begun = true;
    own.marks.sent = performance.now();
    stream.say(start);
    stream.say({ type: "text", text: text + own.waiting });
    if (!live || own.ended) finishText(own);
    say(live ? "Listening to what you type." : "Waiting for the first audio…");
    requestAnimationFrame(frame);
  } catch (error) {
    if (own === now) fail(error);
  }
}

function finishText(own) {
  own.ended = true;
  if (own.begun) stream.say({ type: "end" });
}

// The next words of somebody who types.
function sendLive(text) {
  if (!now?.live || now.ended || now.made) {
    if (text.trim()) begin(text, true);
    return;
  }
  words.extend(text);
  if (now.begun) stream.say({ type: "text", text });
  else now.waiting += text;
}

// Silence at once, here and in the service.
function stop(status = "Stopped.") {
  if (!active()) return;
  if (now.begun && !now.made) stream.say({ type: "cancel", id: now.id });
  silence();
  typing.forget();
  finish(status, "stopped");
}

function silence() {
  player.stop();
  now.kept = now.heard;
  now.made = now.ended = now.over = true;
}

const active = () => now !== null && !now.over;

// --- hearing -------------------------------------------------------------------------------------------------------

function told(message) {
  const own = now;
  if (message.type === "error" && message.id === null && active()) fail(messageError(message));
  if (!own || message.id !== own.id || own.over) return;
  switch (message.type) {
    case "timings":
      words.add(message.words, message.phonemes);
      break;
    case "first_audio":
      own.marks.server = message;
      latency(own);
      break;
    case "warning":
      alarm(`The voice warns: ${message.message}`);
      break;
    case "error":
      fail(messageError(message));
      break;
    case "done":
      own.made = own.ended = true;
      own.compute = message.compute / Math.max(message.seconds, 1e-9);
      own.mel.end();
      player.end();
      if (!own.samples) {
        own.over = true;
        finish("There was nothing to say.", "done");
      }
  }
}

function arrived(id, samples) {
  const own = now;
  if (id !== own?.id || own.over) return;
  own.marks.arrived ??= performance.now();
  own.blocks.push(samples);
  own.samples += samples.length;
  const floats = new Float32Array(samples.length);
  for (let i = 0; i < samples.length; i++) floats[i] = samples[i] / 32768;
  own.mel.push(floats);
  player.push(floats);
}

function began(at) {
  now.marks.heard = at;
  say(now.live ? "Speaking what you type." : "Speaking.");
  setState("speaking");
  latency(now);
}

function dry() {
  // Somebody who types is waited for.
  if (now.live && !now.made) return;
  now.underruns += 1;
}

function over() {
  now.over = true;
  finish(`Done: ${(now.samples / now.rate).toFixed(1)} seconds of audio.`, "done");
}

function latency(own) {
  const { server, arrived, heard } = own.marks;
  if (server && arrived && heard) showLatency($("latency"), own.marks, own.live ? "your first word" : "you pressed");
}

function finish(status, state) {
  words.rest();
  setState(state);
  if (status) say(status);
  figures();
  draw();
}

function lost() {
  if (active() && now.begun && !now.made) fail(new ServiceError("the connection was lost", "lost"));
}

function messageError({ message, code, retry_after: retryAfter }) {
  return new ServiceError(message, code, retryAfter);
}

function fail(error) {
  if (active()) {
    if (now.begun && !now.made) stream.say({ type: "cancel", id: now.id });
    silence();
  }
  finish("Nothing is spoken.", "failed");
  const known = error instanceof ServiceError;
  let sentence = known ? error.message : "This browser cannot play it: " + (error.message ?? error);
  if (known && error.retryAfter) sentence += `; try again in ${error.retryAfter} s`;
  alarm(sentence[0].toUpperCase() + sentence.slice(1) + ".");
  if (error.code === "invalid_api_key") askForKey();
}

// --- showing -------------------------------------------------------------------------------------------------------

function frame() {
  if (!active()) return;
  words.light(now.heard / now.rate);
  figures();
  draw();
  requestAnimationFrame(frame);
}

function draw() {
  if (!now?.mel) return;
  const { words: said, phonemes } = words;
  spectrogram.draw({ mel: now.mel, words: said, phonemes, heard: now.heard / now.rate, whole: now.made });
}

function figures() {
  const { samples = 0, heard = 0, rate = 1, underruns = 0, compute } = now ?? {};
  put("received", samples / rate, (value) => `${value.toFixed(1)} s`);
  put("heard", heard / rate, (value) => `${value.toFixed(1)} s`);
  put("in-hand", (samples - heard) / rate, (value) => `${value.toFixed(1)} s`);
  put("underruns", underruns, String);
  put("processor", compute, (value) => (value === undefined ? "–" : `${(100 * value).toFixed(0)} %`));
  $("underruns").classList.toggle("wrong", underruns > 0);
}

function put(id, value, write) {
  const element = $(id);
  element.value = value === undefined ? "" : String(value);
  const text = write(value);
  if (element.textContent !== text) element.textContent = text;
}

function setState(state) {
  document.body.dataset.state = state;
  $("stop").ariaDisabled = String(!active());
  $("download").ariaDisabled = String(active() || !now?.heard);
}

function say(text) {
  $("status").textContent = text;
  $("alert").textContent = "";
}

function alarm(text) {
  $("alert").textContent = text;
}

function save() {
  if ($("download").ariaDisabled === "true") return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(wav(now.blocks, now.heard, now.rate));
  link.download = `${now.voice.offer.id.replace("/", "-")}.wav`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// --- voices --------------------------------------------------------------------------------------------------------

async function load() {
  try {
    const facts = await (await get("page/about.json")).json();
    $("version").textContent = `Polyvox ${facts.version}`;
    $("text").maxLength = facts.characters;
    if (facts.key && !key()) askForKey();
    else await loadVoices(facts);
  } catch (error) {
    fail(error);
  }
}

async function loadVoices(facts) {
  const { voices } = await (await get("v1/audio/voices")).json();
  const select = $("voice");
  meanings = listVoices(select, voices);
  select.disabled = $("speak").disabled = !meanings.size;
  if (!meanings.size) {
    alarm("This service has no voices.");
    return;
  }
  const usual = [...meanings].find(
    ([, { offer, language }]) =>
      offer.voice === facts.voice && offer.speaker === facts.speaker && [language, null].includes(facts.language),
  );
  if (usual) select.value = usual[0];
  choose();
}

function choose() {
  const { offer, language } = meanings.get($("voice").value);
  showAbout($("voice-about"), offer);
  const text = $("text");
  text.lang = language;
  if (!text.value || Object.values(SAMPLES).includes(text.value)) {
    text.value = SAMPLES[language.split("-")[0]] ?? SAMPLES.en;
  }
  showControls($("controls"), $("sliders"), offer.controls, controlled);
  controlled();
  blocks.of(offer);
}

// What was typed before was for another voice.
function controlled() {
  if (active() && now.live) stop("");
}

function askForKey() {
  $("key-field").hidden = false;
  $("key").focus();
}

async function useKey() {
  const typed = $("key").value.trim();
  if (!typed) return;
  keepKey(typed);
  stream.close();
  try {
    await loadVoices(await (await get("page/about.json")).json());
    $("key").value = "";
    $("key-field").hidden = true;
    say("The key is known.");
    $("text").focus();
  } catch (error) {
    keepKey("");
    fail(error);
  }
}

// --- hands ---------------------------------------------------------------------------------------------------------

function press() {
  if ($("speak").disabled) return;
  if ($("live").checked) {
    typing.flush();
    if (now?.live && !now.ended) finishText(now);
    return;
  }
  const text = $("text").value;
  if (!text.trim()) {
    alarm("There is nothing to say yet: type a text.");
    $("text").focus();
    return;
  }
  begin(text, false);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  press();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    press();
  }
});
document.addEventListener("keydown", (event) => event.key === "Escape" && stop());
$("stop").addEventListener("click", () => stop());
$("download").addEventListener("click", save);
$("voice").addEventListener("change", choose);
$("use-key").addEventListener("click", useKey);
$("key").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  useKey();
});
$("live").addEventListener("change", () => {
  if ($("live").checked) {
    stop("");
    typing.start();
    $("speak").textContent = "End";
    say("Type: what you add is spoken.");
    $("text").focus();
  } else {
    typing.flush();
    if (now?.live && !now.ended) finishText(now);
    typing.stop();
    $("speak").textContent = "Speak";
  }
});
// Connected before it is needed, but only for those who are about to speak.
for (const hint of ["pointerup", "keydown"]) {
  form.addEventListener(hint, () => {
    if (active() || !meanings.size) return;
    player.open(meanings.get($("voice").value).offer.sample_rate).catch(() => {});
    stream.open(key()).catch(() => {});
  });
}

setState("idle");
spectrogram.draw(null);
load();
