// The text that is spoken: its words light up, with their phonemes beneath.

export class Words {
  #box;
  #line = null;
  #text = "";
  #units = null; // of each of the text's characters, where its UTF-16 units begin; null: each has one
  #rest = null; // the text node behind the last word
  #from = 0; // where it begins, in units
  #next = 0; // the first word that was not lit yet
  #phonemes = new Map(); // of words that have not ended yet, by where they begin

  // `box`: the element that they are shown in.
  constructor(box) {
    this.#box = box;
    this.words = []; // {text, start, end, first, last, element}, in order
    this.phonemes = [];
  }

  // Another text.
  begin(text, language) {
    this.words = [];
    this.phonemes = [];
    this.#phonemes.clear();
    this.#next = this.#from = 0;
    this.#text = "";
    this.#units = null;
    this.#line = document.createElement("p");
    this.#line.lang = language ?? "";
    this.#rest = document.createTextNode("");
    this.#line.append(this.#rest);
    this.#box.replaceChildren(this.#line);
    this.#box.scrollTop = 0;
    this.extend(text);
  }

  // More of the text.
  extend(piece) {
    this.#text += piece;
    this.#rest.data += piece;
    this.#units = null;
    // The service counts characters, JavaScript UTF-16 units.
    if (/[\ud800-\udbff]/.test(this.#text)) {
      this.#units = [0];
      for (const character of this.#text) this.#units.push(this.#units.at(-1) + character.length);
    }
  }

  // Timings of words and phonemes, as the service sends them.
  add(words = [], phonemes = []) {
    const changed = new Set();
    for (const phoneme of phonemes) {
      this.phonemes.push(phoneme);
      const known = this.#phonemes.get(phoneme.first) ?? [];
      this.#phonemes.set(phoneme.first, [...known, phoneme.text]);
      changed.add(phoneme.first);
    }
    for (const word of words) {
      this.words.push({ ...word, element: this.#mark(word) });
      changed.add(word.first);
    }
    for (const word of this.words.slice(-words.length - 2)) {
      if (changed.has(word.first)) word.element.lastChild.textContent = this.#phonemes.get(word.first)?.join("") ?? "";
    }
  }

  // Light what is spoken `seconds` from the beginning.
  light(seconds) {
    while (this.#next < this.words.length && this.words[this.#next].start <= seconds) {
      this.words[this.#next - 1]?.element.classList.replace("now", "said");
      const { element } = this.words[this.#next];
      element.classList.add("now");
      this.#show(element);
      this.#next += 1;
    }
    const last = this.words[this.#next - 1];
    // Between words that follow each other closely nothing goes dark.
    if (last && seconds >= last.end + 0.12) last.element.classList.replace("now", "said");
  }

  // Nothing is spoken any more.
  rest() {
    this.words[this.#next - 1]?.element.classList.replace("now", "said");
  }

  #unit(character) {
    return this.#units ? (this.#units[character] ?? this.#text.length) : character;
  }

  // Takes the word, with the marks around it, out of the rest of the text.
  #mark(word) {
    const first = this.#unit(word.first);
    const last = this.#unit(word.last);
    const previous = this.words.at(-1)?.element;
    if (first < this.#from && previous) this.#giveBack(previous, first);
    const begin = Math.max(first, this.#from);
    let end = Math.max(last, begin);
    while (end < this.#text.length && !/[\s\p{L}\p{N}]/u.test(this.#text[end])) end += 1;
    this.#rest.data = this.#text.slice(this.#from, begin);
    const element = document.createElement("span");
    element.className = "word";
    const shown = document.createElement("span");
    shown.textContent = this.#text.slice(begin, end);
    const phonemes = document.createElement("span");
    phonemes.className = "phonemes";
    phonemes.ariaHidden = "true";
    element.append(shown, phonemes);
    this.#rest = document.createTextNode(this.#text.slice(end));
    this.#from = end;
    this.#line.append(element, this.#rest);
    return element;
  }

  // Marks behind the previous word that belong to the next one.
  #giveBack(previous, first) {
    const shown = previous.firstChild;
    const taken = Math.min(this.#from - first, shown.textContent.length);
    shown.textContent = shown.textContent.slice(0, shown.textContent.length - taken);
    this.#from -= taken;
  }

  // Scrolls the box alone, never the page.
  #show(element) {
    const box = this.#box;
    const top = element.offsetTop - box.offsetTop;
    if (top < box.scrollTop || top + element.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = top - box.clientHeight / 3;
    }
  }
}
