/**
 * The field where messages are written. Unfinished ones are kept for each room, as long as the tab is open.
 *
 * @module
 */

import { byId } from "./dom.js";

const PREFIX = "fanline.draft.";
const MOST_BYTES = 16_384; // the server's default; the server decides
const WARN_BYTES = 14_000;

const encoder = new TextEncoder();

/** The field for a new message, and its button. */
export class Composer {
  #field = byId("text");
  #form = byId("composer");
  #counter = byId("counter");
  #room = "";
  #onSay;

  /**
   * @param {(text: string) => void} onSay Called with each message.
   * @param {AbortSignal} signal Ends this.
   */
  constructor(onSay, signal) {
    this.#onSay = onSay;
    this.#form.addEventListener("submit", (event) => this.#submit(event), { signal });
    this.#field.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#field.addEventListener("input", () => this.#changed(), { signal });
  }

  /** @param {string} room The id of the room that is open now. */
  open(room) {
    this.#room = room;
    this.#field.value = sessionStorage.getItem(PREFIX + room) ?? "";
    this.#changed();
    if (matchMedia("(pointer: fine)").matches) {
      this.#field.focus(); // elsewhere it would bring up the keyboard of the screen
    }
  }

  /** @param {string} name The name of the room. */
  address(name) {
    this.#field.placeholder = `Message ${name}`.trim();
    this.#field.setAttribute("aria-label", `Message ${name}`.trim());
  }

  /** @param {Event} event Asks to send. */
  #submit(event) {
    event.preventDefault();
    this.#say();
  }

  /** @param {KeyboardEvent} event Enter sends, unless it ends the choice of a character, as in Chinese. */
  #key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      this.#submit(event);
    }
  }

  #say() {
    const text = this.#field.value;
    if (text.trim() === "" || encoder.encode(text).length > MOST_BYTES) {
      return;
    }
    this.#field.value = "";
    this.#changed();
    this.#onSay(text);
  }

  #changed() {
    const text = this.#field.value;
    const size = encoder.encode(text).length;
    const isTooLong = size > MOST_BYTES;
    this.#counter.hidden = size < WARN_BYTES;
    this.#counter.textContent = `${size.toLocaleString("en")} of ${MOST_BYTES.toLocaleString("en")} bytes`;
    this.#counter.classList.toggle("over", isTooLong);
    byId("send").disabled = text.trim() === "" || isTooLong;
    this.#fit();
    if (text) {
      sessionStorage.setItem(PREFIX + this.#room, text);
    } else {
      sessionStorage.removeItem(PREFIX + this.#room);
    }
  }

  /** Make the field as high as its text; the style sheet has the limit. */
  #fit() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }
}
