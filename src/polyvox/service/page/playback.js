// Plays what the page pushes, sample by sample. Runs on the audio thread, or where pages may not run anything there
// (not over HTTPS, and not on this machine) in the page.
//
// in:  {type: "begin", number, lead, grow}   a playback; one that still sounds fades out
//      {type: "push", number, samples}       Float32Array, in order
//      {type: "end", number}                 there is no more
//      {type: "stop", number}                be silent
// out: {type: "at" | "began" | "dry" | "over", number, frame, heard, left, playing}
//      frame: of the context; heard and left: samples played, and samples that lie ready

const FADE = 96; // samples over which a stopped playback fades, so that it does not click
const REPORT = 1024; // samples between reports
const LONGEST_LEAD = 0.5; // seconds

class Queue {
  constructor(number, lead, grow) {
    Object.assign(this, { number, lead, grow, blocks: [], offset: 0, heard: 0, left: 0 });
    this.playing = this.ended = this.began = this.over = false;
    this.ready = Infinity; // the frame from which on what there is gets played, though it is little
  }

  // Moves samples into `out`; returns how many there were.
  read(out) {
    let filled = 0;
    while (filled < out.length && this.blocks.length) {
      const block = this.blocks[0];
      const count = Math.min(block.length - this.offset, out.length - filled);
      out.set(block.subarray(this.offset, this.offset + count), filled);
      filled += count;
      this.offset += count;
      if (this.offset === block.length) {
        this.blocks.shift();
        this.offset = 0;
      }
    }
    this.heard += filled;
    this.left -= filled;
    return filled;
  }
}

export class Playback {
  #rate;
  #report;
  #queue = null;
  #leaving = null;
  #since = 0;
  #frame = 0;

  constructor(rate, report) {
    this.#rate = rate;
    this.#report = report;
  }

  take({ type, number, samples, lead, grow }) {
    const queue = this.#queue;
    if (type === "begin") {
      this.#leave();
      this.#queue = new Queue(number, lead, grow);
    } else if (queue?.number === number) {
      if (type === "push") {
        if (!queue.left) queue.ready = this.#frame + queue.lead * this.#rate;
        queue.blocks.push(samples);
        queue.left += samples.length;
      } else if (type === "end") {
        queue.ended = true;
      } else if (type === "stop") {
        this.#leave();
      }
    }
  }

  #leave() {
    if (this.#queue?.playing) this.#leaving = this.#queue;
    this.#queue = null;
  }

  // Fill `out`, which is silent and begins at a frame of the context.
  fill(out, frame) {
    this.#frame = frame + out.length;
    if (this.#leaving) {
      const fading = out.subarray(0, FADE);
      this.#leaving.read(fading);
      for (let i = 0; i < fading.length; i++) fading[i] *= 1 - (i + 1) / fading.length;
      this.#leaving = null;
      return;
    }
    const queue = this.#queue;
    if (!queue || queue.over) return;
    const enough = queue.ended || queue.left >= queue.lead * this.#rate || frame >= queue.ready;
    if (!queue.playing && queue.left > 0 && enough) {
      queue.playing = true;
      if (!queue.began) {
        queue.began = true;
        this.#tell("began", frame);
      }
    }
    if (queue.playing) {
      const filled = queue.read(out);
      this.#since += filled;
      if (filled < out.length && !queue.ended) {
        queue.playing = false;
        // The next gap is less likely with more in hand.
        if (queue.grow) queue.lead = Math.min(2 * queue.lead, LONGEST_LEAD);
        this.#tell("dry", this.#frame);
      }
    }
    if (queue.ended && queue.left === 0) {
      queue.playing = false;
      queue.over = true;
      this.#tell("over", this.#frame);
    } else if (this.#since >= REPORT) {
      this.#tell("at", this.#frame);
    }
  }

  #tell(type, frame) {
    const { number, heard, left, playing } = this.#queue;
    this.#since = 0;
    this.#report({ type, number, frame, heard, left, playing });
  }
}
