// A WAV file of 16-bit mono audio.

// `blocks`: Int16Arrays in order, of which the first `samples` samples are taken.
export function wav(blocks, samples, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  const bytes = 2 * samples;
  text(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); // PCM
  head.setUint16(22, 1, true); // channels
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, bytes, true);
  const parts = [head];
  for (let left = samples, i = 0; left > 0 && i < blocks.length; i++) {
    parts.push(blocks[i].subarray(0, left));
    left -= blocks[i].length;
  }
  return new Blob(parts, { type: "audio/wav" });
}
