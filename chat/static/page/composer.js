/**
 * The field where messages are written. Unfinished ones are kept for each room.
 *
 * @module
 */

import { about } from "../model/about.js";
import { isInvisible } from "../model/text.js";
import { byId } from "./dom.js";

/** @import { Drafts } from "../model/drafts.js" */

const WARN_FROM = 0.85; // of the longest text

const encoder = new TextEncoder();

/** The field for a new message, and its button. */
export class Composer {
  #field = byId("text");
  #form = byId("composer");
  #counter = byId("counter");
  #room = "";
  #drafts;
  #onSay;

  /**
   * @param {Drafts} drafts The unfinished messages.
   * @param {(text: string) => void} onSay Called with each message.
   * @param {AbortSignal} signal Ends this.
   */
  constructor(drafts, onSay, signal) {
    this.#drafts = drafts;
    this.#onSay = onSay;
    this.#form.addEventListener("submit", (event) => this.#submit(event), { signal });
    this.#field.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#field.addEventListener("input", () => this.#changed(), { signal });
    this.#field.enterKeyHint = isTouched() ? "enter" : "send";
  }

  /** @param {string} room The id of the room that is open now. */
  open(room) {
    this.#room = room;
    this.#field.value = this.#drafts.in(room);
    this.#show();
    if (!isTouched()) {
      this.#field.focus(); // there it would bring up the keyboard of the screen
    }
  }

  /** Take the text off the page: the next person is another one. */
  close() {
    this.#field.value = "";
    this.#show();
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

  /** @param {KeyboardEvent} event Enter sends where there is a Shift key for a new line. */
  #key(event) {
    if (event.key === "Enter" && !event.shiftKey && !isComposing(event) && !isTouched()) {
      this.#submit(event);
    }
  }

  #say() {
    const text = this.#field.value;
    if (isInvisible(text) || encoder.encode(text).length > about.limits.message) {
      return;
    }
    this.#field.value = "";
    this.#changed();
    this.#onSay(text);
  }

  #changed() {
    this.#drafts.keep(this.#room, this.#field.value);
    this.#show();
  }

  #show() {
    const text = this.#field.value;
    const size = encoder.encode(text).length;
    const most = about.limits.message;
    const isTooLong = size > most;
    this.#counter.hidden = size < WARN_FROM * most;
    this.#counter.textContent = `${size.toLocaleString("en")} of ${most.toLocaleString("en")} bytes`;
    this.#counter.classList.toggle("over", isTooLong);
    byId("send").disabled = isInvisible(text) || isTooLong;
    byId("field").dataset.text = text; // the style sheet makes the field as high as this
  }
}

/**
 * Test whether a key only ends the choice of a character, as in Chinese.
 *
 * @param {KeyboardEvent} event A key. Safari says so by 229 alone.
 */
const isComposing = (event) => event.isComposing || event.keyCode === 229;

const isTouched = () => matchMedia("(pointer: coarse)").matches;
