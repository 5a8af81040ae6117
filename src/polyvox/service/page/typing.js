// What is typed into a text field, word by word, as a language model's text would come.

const WAIT = 1200; // milliseconds without a key after which what there is counts as whole

export class Typing {
  #field;
  #seen = "";
  #held = ""; // typed and not whole yet
  #timer = 0;

  // `onWords(text)`: more of the text, in whole words; `onPause()`: nothing was typed for a while after it.
  constructor(field, { onWords, onPause }) {
    this.#field = field;
    this.onWords = onWords;
    this.onPause = onPause;
    this.active = false;
    field.addEventListener("input", (event) => this.active && !event.isComposing && this.#typed());
    field.addEventListener("compositionend", () => this.active && this.#typed());
  }

  // From now on what is added is given on; what stands there already is not.
  start() {
    this.active = true;
    this.#seen = this.#field.value;
    this.#held = "";
  }

  stop() {
    this.active = false;
    this.forget();
  }

  forget() {
    clearTimeout(this.#timer);
    this.#held = "";
  }

  // Give on what is held back.
  flush() {
    clearTimeout(this.#timer);
    if (this.#held) this.onWords(this.#held);
    this.#held = "";
  }

  #typed() {
    const before = this.#seen;
    const now = (this.#seen = this.#field.value);
    const shorter = Math.min(before.length, now.length);
    let same = 0;
    while (same < shorter && before[same] === now[same]) same += 1;
    let behind = 0;
    while (behind < shorter - same && before.at(-1 - behind) === now.at(-1 - behind)) behind += 1;
    const gone = before.slice(same, before.length - behind);
    // What was not given on yet can be taken back.
    if (gone && this.#held.endsWith(gone)) this.#held = this.#held.slice(0, -gone.length);
    this.#held += now.slice(same, now.length - behind);
    const whole = this.#held.search(/\S*$/);
    if (whole > 0) {
      this.onWords(this.#held.slice(0, whole));
      this.#held = this.#held.slice(whole);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.flush();
      this.onPause();
    }, WAIT);
  }
}
