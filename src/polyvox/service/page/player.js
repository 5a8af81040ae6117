// Streamed playback behind a small jitter buffer, and how much of it came out of the loudspeaker.

import { Playback } from "./playback.js";

const LEAD = 0.06; // seconds in hand before it starts to play, or to wait for them
const BLOCK = 1024; // samples at once, where there is no audio thread
const REST = 30; // seconds after which an idle sound device is let go

export class Player {
  #context = null;
  #node = null; // kept: one that nobody holds may fall silent
  #send = () => {}; // to the playback
  #opening = null;
  #asked = 0;
  #number = 0;
  #last = null; // the worklet's last report
  #pushed = 0;
  #shown = 0;
  #resting = 0;

  // `on.began(at)`: the first sample is heard at that moment of performance.now(); `on.dry()`: nothing more in hand
  // before the end; `on.over()`: all was heard.
  constructor(on) {
    this.on = on;
  }

  // Get the sound device ready for audio of `rate`; returns the rate that it takes, which may be another.
  async open(rate) {
    if (this.#asked !== rate || !this.#opening) {
      this.#asked = rate;
      this.#opening = this.#make(rate).catch((error) => {
        this.#opening = null;
        throw error;
      });
    }
    await this.#opening;
    clearTimeout(this.#resting);
    // Does not settle as long as the browser wants a gesture first.
    if (this.#context.state !== "running") await this.#context.resume();
    return this.#context.sampleRate;
  }

  async #make(rate) {
    await this.#context?.close();
    const wanted = { sampleRate: rate, latencyHint: "interactive" };
    try {
      this.#context = new AudioContext(wanted);
    } catch {
      this.#context = new AudioContext({ latencyHint: "interactive" });
    }
    if (this.#context.audioWorklet) await this.#onAudioThread(this.#context);
    else this.#onThisThread(this.#context);
  }

  async #onAudioThread(context) {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    const outputs = { numberOfInputs: 0, numberOfOutputs: 1, outputChannelCount: [1] };
    const node = new AudioWorkletNode(context, "polyvox-playback", outputs);
    node.port.onmessage = ({ data }) => this.#told(data);
    node.connect(context.destination);
    this.#node = node;
    this.#send = (message, transfer) => node.port.postMessage(message, transfer);
  }

  // Browsers have worklets only for pages that came over HTTPS or from this machine.
  #onThisThread(context) {
    const playback = new Playback(context.sampleRate, (report) => this.#told(report));
    const node = context.createScriptProcessor(BLOCK, 1, 1);
    node.onaudioprocess = ({ outputBuffer, playbackTime }) =>
      playback.fill(outputBuffer.getChannelData(0).fill(0), Math.round(playbackTime * context.sampleRate));
    node.connect(context.destination);
    this.#node = node;
    this.#send = (message) => playback.take(message);
  }

  // Begin another playback; `steady` if its audio should never stop to come.
  begin(steady = true) {
    this.#number += 1;
    this.#pushed = this.#shown = 0;
    this.#last = null;
    this.#post({ type: "begin", lead: LEAD, grow: steady });
  }

  push(samples) {
    this.#pushed += samples.length;
    this.#post({ type: "push", samples }, [samples.buffer]);
  }

  end() {
    this.#post({ type: "end" });
  }

  stop() {
    this.#shown = this.heard;
    this.#post({ type: "stop" });
    this.#number += 1; // what it still reports is of no interest
    this.#last = null;
    this.#rest();
  }

  // Samples that came out of the loudspeaker by now.
  get heard() {
    const last = this.#last;
    if (!last) return this.#shown;
    const rate = this.#context.sampleRate;
    const ahead = Math.round((this.#now() - last.frame / rate) * rate);
    const most = last.heard + (last.playing ? last.left : 0);
    this.#shown = Math.max(this.#shown, Math.min(last.heard + ahead, most, this.#pushed));
    return this.#shown;
  }

  #told(report) {
    if (report.number !== this.#number) return;
    this.#last = report;
    if (report.type === "began") this.on.began(this.#moment(report.frame / this.#context.sampleRate));
    else if (report.type === "dry") this.on.dry();
    else if (report.type === "over") {
      // What was just handed over is heard a little later.
      const rest = 1000 * (report.frame / this.#context.sampleRate - this.#now());
      setTimeout(() => {
        if (report.number !== this.#number) return;
        this.#shown = report.heard;
        this.#last = null;
        this.#rest();
        this.on.over();
      }, Math.max(0, rest));
    }
  }

  // The context's time of what is at the loudspeaker now, in seconds.
  #now() {
    const context = this.#context;
    const { contextTime = 0, performanceTime = 0 } = context.getOutputTimestamp?.() ?? {};
    if (!performanceTime) return context.currentTime - (context.outputLatency || context.baseLatency || 0);
    // The pair is an old one where the device has only just gone on.
    return Math.min(contextTime + (performance.now() - performanceTime) / 1000, context.currentTime);
  }

  // When, by performance.now(), a time of the context is at the loudspeaker.
  #moment(seconds) {
    return performance.now() + 1000 * (seconds - this.#now());
  }

  #post(message, transfer = []) {
    this.#send({ ...message, number: this.#number }, transfer);
  }

  #rest() {
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#context?.suspend(), 1000 * REST);
  }
}
