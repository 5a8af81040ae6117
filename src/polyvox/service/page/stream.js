// One connection to /v1/stream. The protocol is docs/websocket.md.

import { ServiceError } from "./service.js";

export class Stream {
  #address;
  #socket = null;
  #ready = null;
  #speaking = null; // the utterance whose audio comes now

  // `on.message(message)`: what the service says; `on.audio(id, samples)`: 16-bit audio of an utterance;
  // `on.lost()`: the connection is gone, and was not given up here.
  constructor(address, on) {
    this.#address = new URL(address);
    this.#address.protocol = this.#address.protocol.replace("http", "ws");
    this.on = on;
  }

  // Connect, unless it is connected. Rejects with a ServiceError.
  open(key) {
    this.#ready ??= this.#connect(key);
    return this.#ready;
  }

  say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  // Give the connection up, so that the next `open` makes another one.
  close() {
    const socket = this.#socket;
    this.#socket = this.#ready = this.#speaking = null;
    socket?.close();
  }

  #connect(key) {
    const socket = (this.#socket = new WebSocket(this.#address));
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      let refusal = null;
      let opened = false;
      socket.onopen = () => key && socket.send(JSON.stringify({ type: "auth", key }));
      socket.onmessage = ({ data }) => {
        if (socket !== this.#socket) return;
        if (typeof data !== "string") {
          if (this.#speaking !== null) this.on.audio(this.#speaking, samplesOf(data));
          return;
        }
        const message = JSON.parse(data);
        if (message.type === "ready") {
          opened = true;
          resolve(message);
        } else if (!opened && message.type === "error") {
          refusal = new ServiceError(message.message, message.code, message.retry_after);
        } else {
          if (message.type === "started") this.#speaking = message.id;
          this.on.message(message);
        }
      };
      socket.onclose = () => {
        reject(refusal ?? new ServiceError("the service cannot be reached", "unreachable"));
        if (socket !== this.#socket) return;
        this.#socket = this.#ready = this.#speaking = null;
        if (opened) this.on.lost();
      };
    });
  }
}

// A frame's samples, little-endian as nearly every machine is.
function samplesOf(data) {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return new Int16Array(data);
  const view = new DataView(data);
  return Int16Array.from({ length: data.byteLength / 2 }, (_, i) => view.getInt16(2 * i, true));
}
