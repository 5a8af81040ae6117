// The picture of a voice's blocks, fetched when somebody is about to see it.

import { get } from "./service.js";

export class Blocks {
  #box;
  #offer = null;
  #near;

  constructor(box) {
    this.#box = box;
    this.#near = new IntersectionObserver(
      (entries) => {
        if (!entries.at(-1).isIntersecting) return;
        this.#near.unobserve(box);
        this.#show(this.#offer);
      },
      { rootMargin: "200px" },
    );
  }

  // Another voice.
  of(offer) {
    this.#offer = offer;
    this.#near.unobserve(this.#box);
    this.#near.observe(this.#box);
  }

  async #show(offer) {
    const { voice, version, architecture } = offer;
    try {
      const answer = await get(`v1/voices/${encodeURIComponent(`${voice}@${version}`)}/blocks.svg`);
      const address = URL.createObjectURL(await answer.blob());
      if (offer !== this.#offer) return;
      // As an image it can run and load nothing.
      const image = new Image();
      image.alt = `${voice} ${version}, ${architecture}`;
      image.onload = () => URL.revokeObjectURL(address);
      image.src = address;
      this.#box.replaceChildren(image);
    } catch (error) {
      if (offer !== this.#offer) return;
      const note = document.createElement("p");
      note.className = "placeholder";
      note.textContent = `No picture: ${error.message}.`;
      this.#box.replaceChildren(note);
    }
  }
}
