// The mel as it arrives, with the words and phonemes below it, drawn on a canvas that scrolls with what is heard.

import { BANDS, toMel } from "./mel.js";

const GUTTER = 40; // pixels left of the mel
const SOUND = 176; // pixels of the mel's height
const TIER = 21;
const AXIS = 18;
const DENSITY = 150; // pixels a second
const PLAYHEAD = 0.45; // where it stays, of the width
const TICKS = [500, 1000, 2000, 4000, 8000]; // Hz

export class Spectrogram {
  #canvas;
  #pen;
  #strip = document.createElement("canvas"); // one pixel for each value
  #colours = null;
  #shown = null;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    this.#strip.height = BANDS;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    const again = () => {
      this.#colours = null;
      this.draw(this.#shown);
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    matchMedia("(prefers-contrast: more)").addEventListener("change", again);
    new ResizeObserver(() => this.draw(this.#shown)).observe(canvas);
  }

  // `shown`: {mel, words, phonemes, heard, whole}: seconds that were heard, and whether no more will come; null draws
  // the axes alone.
  draw(shown) {
    this.#shown = shown;
    const pen = this.#pen;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    this.#colours ??= this.#theme();
    const colours = this.#colours;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const span = (width - GUTTER) / DENSITY;
    const from = this.#from(shown, span);
    const x = (seconds) => GUTTER + (seconds - from) * DENSITY;
    pen.fillStyle = colours.map[0];
    pen.fillRect(GUTTER, 0, width - GUTTER, SOUND);
    if (shown) this.#sound(shown.mel, from, span, x);
    this.#axes(shown?.mel.spectra.top ?? 8000, from, span, x);
    if (!shown) return;
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER, height);
    pen.clip();
    this.#tier(shown.words, SOUND, x, from, span, shown.heard, 13);
    this.#tier(shown.phonemes, SOUND + TIER, x, from, span, shown.heard, 12);
    const line = x(shown.heard);
    // What is not heard yet is paler.
    pen.fillStyle = colours.veil;
    pen.fillRect(line, 0, width - line, SOUND);
    pen.fillStyle = colours.accent;
    pen.fillRect(line - 1, 0, 2, SOUND + 2 * TIER);
    pen.restore();
  }

  // The second at the left edge.
  #from(shown, span) {
    if (!shown) return 0;
    const { heard, mel, whole } = shown;
    if (this.still.matches) return Math.floor(heard / span) * span;
    const length = (mel.count * mel.spectra.hop) / mel.spectra.rate;
    const end = whole ? length + 0.05 - span : Infinity;
    return Math.max(0, Math.min(heard - PLAYHEAD * span, end));
  }

  #theme() {
    const style = getComputedStyle(this.#canvas);
    const read = (name) => style.getPropertyValue(name).trim();
    const map = [0, 1, 2, 3, 4].map((i) => read(`--map-${i}`));
    const shades = new Uint32Array(256);
    const stops = map.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    const bytes = new Uint8ClampedArray(shades.buffer);
    for (let i = 0; i < 256; i++) {
      const at = (i / 255) * (stops.length - 1);
      const low = Math.min(Math.floor(at), stops.length - 2);
      for (let c = 0; c < 3; c++) bytes[4 * i + c] = stops[low][c] + (at - low) * (stops[low + 1][c] - stops[low][c]);
      bytes[4 * i + 3] = 255;
    }
    const family = style.fontFamily;
    const named = ["ink", "faint", "line", "accent", "lit", "lit-ink", "veil"];
    return { map, shades, family, ...Object.fromEntries(named.map((name) => [name, read(`--${name}`)])) };
  }

  #sound(mel, from, span, x) {
    const perSecond = mel.spectra.rate / mel.spectra.hop;
    const first = Math.max(0, Math.floor(from * perSecond));
    const last = Math.min(mel.count, Math.ceil((from + span) * perSecond) + 1);
    if (last <= first) return;
    const count = last - first;
    const image = new ImageData(count, BANDS);
    const pixels = new Uint32Array(image.data.buffer);
    const { shades } = this.#colours;
    for (let column = 0; column < count; column++) {
      const base = BANDS * (first + column);
      for (let band = 0; band < BANDS; band++) {
        pixels[(BANDS - 1 - band) * count + column] = shades[mel.columns[base + band]];
      }
    }
    this.#strip.width = count;
    this.#strip.getContext("2d").putImageData(image, 0, 0);
    const left = x(first / perSecond);
    const right = x(last / perSecond);
    const hidden = Math.max(0, GUTTER - left);
    const cut = (hidden / (right - left)) * count;
    this.#pen.drawImage(this.#strip, cut, 0, count - cut, BANDS, left + hidden, 0, right - left - hidden, SOUND);
  }

  #axes(top, from, span, x) {
    const pen = this.#pen;
    const colours = this.#colours;
    pen.font = `11px ${colours.family}`;
    pen.fillStyle = colours.faint;
    pen.strokeStyle = colours.line;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const hz of TICKS.filter((tick) => tick <= top)) {
      const y = SOUND * (1 - toMel(hz) / toMel(top));
      pen.fillText(hz < 1000 ? hz : `${hz / 1000} k`, GUTTER - 7, Math.max(7, Math.min(y, SOUND - 7)));
      pen.fillRect(GUTTER - 4, Math.round(y), 4, 1);
    }
    pen.fillText("Hz", GUTTER - 7, SOUND - 7);
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    const base = SOUND + 2 * TIER;
    for (let second = Math.ceil(from); second <= from + span; second++) {
      const at = x(second);
      pen.fillRect(Math.round(at), base, 1, 4);
      if (at > GUTTER - 1 && at < GUTTER + span * DENSITY - 12) pen.fillText(`${second} s`, Math.max(at, GUTTER + 8), base + 15);
    }
    pen.strokeRect(GUTTER + 0.5, 0.5, span * DENSITY - 1, base - 1);
  }

  #tier(parts, top, x, from, span, heard, size) {
    const pen = this.#pen;
    const colours = this.#colours;
    pen.font = `${size}px ${colours.family}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let i = firstAfter(parts, from); i < parts.length && parts[i].start < from + span; i++) {
      const { text, start, end } = parts[i];
      const left = x(start);
      const width = x(end) - left;
      const now = start <= heard && heard < end;
      if (now) {
        pen.fillStyle = colours.lit;
        pen.fillRect(left, top, width, TIER);
      }
      pen.fillStyle = colours.line;
      pen.fillRect(Math.round(left), top, 1, TIER);
      pen.fillRect(Math.round(left + width), top, 1, TIER);
      pen.fillStyle = now ? colours["lit-ink"] : start <= heard ? colours.ink : colours.faint;
      // A little narrower is still legible.
      if (width > 0.6 * pen.measureText(text).width) {
        pen.fillText(text, left + width / 2, top + TIER / 2 + 1, Math.max(1, width - 2));
      }
    }
    pen.fillStyle = colours.line;
    pen.fillRect(GUTTER, top, span * DENSITY, 1);
  }
}

// The first part that ends after `seconds`.
function firstAfter(parts, seconds) {
  let low = 0;
  let high = parts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle].end <= seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}
