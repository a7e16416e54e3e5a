/**
 * Elements of the page.
 *
 * @module
 */

import { initials } from "../model/text.js";
import { element, find } from "../shared/elements.js";

/** @import { Finder } from "../shared/elements.js" */

export { element, textButton } from "../shared/elements.js";

const MOST_DELAY = 250; // milliseconds after which a hidden page is drawn, which has no frames

/**
 * The elements of the page that are more than an `HTMLElement`.
 *
 * @typedef {{
 *   confirm: HTMLDialogElement, "make-room": HTMLDialogElement, messages: HTMLOListElement,
 *   composer: HTMLFormElement, text: HTMLTextAreaElement, send: HTMLButtonElement,
 *   filter: HTMLInputElement, "room-name": HTMLInputElement,
 *   "log-in": HTMLButtonElement, guest: HTMLButtonElement, "login-name": HTMLInputElement, "login-password": HTMLInputElement,
 * }} Elements
 */

/** @type {Finder<Elements>} */
export const byId = find;

/**
 * Draw at most once in a frame, however often it is asked for.
 *
 * @param {() => void} draw Draws.
 * @param {AbortSignal} signal Ends it.
 * @returns {() => void} A function that asks for it.
 */
export function oncePerFrame(draw, signal) {
  let frame = 0;
  let timer = 0;
  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = 0;
    if (!signal.aborted) {
      draw();
    }
  };
  return () => {
    if (!frame) {
      frame = requestAnimationFrame(run);
      timer = window.setTimeout(run, MOST_DELAY);
    }
  };
}

/**
 * Show a text, unless it is there already: what does not change costs no layout.
 *
 * @param {string} id The id of an element of the page.
 * @param {string} text The text.
 */
export function write(id, text) {
  const written = byId(id);
  if (written.textContent !== text) {
    written.textContent = text;
  }
}

/**
 * Make rows the content of a list. Those that stay are not touched, since every one that is put in costs layout.
 *
 * @param {HTMLElement} list The list.
 * @param {HTMLElement[]} rows Its rows, in order.
 */
export function arrange(list, rows) {
  const wanted = new Set(rows);
  for (const row of [.../** @type {HTMLCollectionOf<HTMLElement>} */ (list.children)]) {
    if (!wanted.has(row)) {
      row.remove();
    }
  }
  rows.forEach((row, index) => {
    if (list.children[index] !== row) {
      list.insertBefore(row, list.children[index] ?? null);
    }
  });
}

/**
 * Make the avatar of a user: initials of the name, in a color that goes with the name.
 *
 * @param {string} name The name.
 * @returns {HTMLElement} The avatar; screen readers skip it, since the name stands next to it.
 */
export function avatar(name) {
  const hue = [...name].reduce(
    (total, character) => (total * 65_599 + (character.codePointAt(0) ?? 0)) % 9_973,
    7,
  );
  const made = element("span.avatar", { "aria-hidden": "true" }, initials(name));
  made.style.setProperty("--hue", `${hue}`);
  return made;
}
