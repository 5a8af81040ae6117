// `Playback` on the audio thread.

import { Playback } from "./playback.js";

class Processor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.playback = new Playback(sampleRate, (report) => this.port.postMessage(report));
    this.port.onmessage = ({ data }) => this.playback.take(data);
  }

  process(_, [[out]]) {
    this.playback.fill(out, currentFrame);
    return true;
  }
}

registerProcessor("polyvox-playback", Processor);
