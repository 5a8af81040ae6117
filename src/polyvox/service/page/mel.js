// Mel spectra of audio as it arrives: magnitudes of a Hann window's FFT, Slaney's mel scale and norm, natural logarithm.

export const BANDS = 80;
export const FLOOR = Math.log(1e-5);
const TOP = 8000; // Hz

// Linear below 1 kHz, logarithmic above (Slaney, Auditory Toolbox, 1998).
export const toMel = (hz) => (hz < 1000 ? (hz * 3) / 200 : 15 + (27 * Math.log(hz / 1000)) / Math.log(6.4));
export const toHz = (mel) => (mel < 15 ? (mel * 200) / 3 : 1000 * Math.exp(((mel - 15) * Math.log(6.4)) / 27));

// The spectra of one sampling rate.
export class Spectra {
  constructor(rate) {
    this.rate = rate;
    this.size = 2 ** Math.round(Math.log2(rate * 0.046)); // samples of a window: 1024 at 22.05 kHz
    this.hop = this.size / 4;
    this.top = Math.min(TOP, rate / 2);
    const { size } = this;
    this.window = Float32Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
    this.cos = Float32Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sin = Float32Array.from({ length: size / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / size));
    this.order = new Uint16Array(size);
    for (let i = 1; i < size; i++) this.order[i] = (this.order[i >> 1] >> 1) | (i & 1 ? size / 2 : 0);
    this.real = new Float32Array(size);
    this.imaginary = new Float32Array(size);
    this.filters = this.#filters();
  }

  // Each band's first bin and weights: a triangle of unit area.
  #filters() {
    const edges = Array.from({ length: BANDS + 2 }, (_, i) => toHz((toMel(this.top) * i) / (BANDS + 1)));
    return Array.from({ length: BANDS }, (_, band) => {
      const [low, middle, high] = edges.slice(band, band + 3);
      const hz = this.rate / this.size;
      const first = Math.ceil(low / hz);
      const weights = [];
      for (let bin = first; bin * hz < high && bin <= this.size / 2; bin++) {
        const rise = (bin * hz - low) / (middle - low);
        const fall = (high - bin * hz) / (high - middle);
        weights.push((Math.max(0, Math.min(rise, fall)) * 2) / (high - low));
      }
      return { first, weights: Float32Array.from(weights) };
    });
  }

  // The log-mel spectrum of samples[at : at + size] into `out`, a Float32Array of BANDS.
  of(samples, at, out) {
    const { size, real, imaginary, window, order } = this;
    for (let i = 0; i < size; i++) real[order[i]] = samples[at + i] * window[i];
    imaginary.fill(0);
    this.#transform();
    for (let i = 0; i <= size / 2; i++) real[i] = Math.hypot(real[i], imaginary[i]);
    for (let band = 0; band < BANDS; band++) {
      const { first, weights } = this.filters[band];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * real[first + i];
      out[band] = Math.max(FLOOR, Math.log(sum));
    }
  }

  // A radix-2 FFT in place; `real` and `imaginary` are in bit-reversed order.
  #transform() {
    const { size, real, imaginary, cos, sin } = this;
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let i = start, turn = 0; i < start + half; i++, turn += step) {
          const j = i + half;
          const re = real[j] * cos[turn] + imaginary[j] * sin[turn];
          const im = imaginary[j] * cos[turn] - real[j] * sin[turn];
          real[j] = real[i] - re;
          imaginary[j] = imaginary[i] - im;
          real[i] += re;
          imaginary[i] += im;
        }
      }
    }
  }
}

// What is drawn of a value: 0 to 255 between these.
const DARK = -8.5;
const BRIGHT = 0.5;

// The columns of a stream, one each hop: column c is samples [c * hop, (c + 1) * hop), with what is around them.
export class Mel {
  constructor(rate) {
    this.spectra = new Spectra(rate);
    this.count = 0;
    this.columns = new Uint8Array(BANDS * 1024);
    this.left = (this.spectra.size - this.spectra.hop) / 2;
    this.waiting = new Float32Array(this.left); // silence before the first sample
    this.values = new Float32Array(BANDS);
  }

  push(samples) {
    const { size, hop } = this.spectra;
    const all = new Float32Array(this.waiting.length + samples.length);
    all.set(this.waiting);
    all.set(samples, this.waiting.length);
    let at = 0;
    for (; at + size <= all.length; at += hop) this.#add(all, at);
    this.waiting = all.slice(at);
  }

  // There is no more: silence behind the last sample.
  end() {
    const { hop } = this.spectra;
    const whole = Math.ceil((this.waiting.length - this.left) / hop);
    if (whole > 0) this.push(new Float32Array((whole - 1) * hop + this.spectra.size - this.waiting.length));
  }

  #add(samples, at) {
    if (BANDS * (this.count + 1) > this.columns.length) {
      const larger = new Uint8Array(2 * this.columns.length);
      larger.set(this.columns);
      this.columns = larger;
    }
    this.spectra.of(samples, at, this.values);
    for (let band = 0; band < BANDS; band++) {
      const shade = (this.values[band] - DARK) / (BRIGHT - DARK);
      this.columns[BANDS * this.count + band] = Math.max(0, Math.min(255, Math.round(255 * shade)));
    }
    this.count += 1;
  }
}
