/**
 * Texts that were begun and not sent: kept in the browser for each person and room, until that person logs out.
 *
 * @module
 */

import { browser } from "./storage.js";

/** The drafts of one person. */
export class Drafts {
  #prefix;

  /** @param {string} name The person's name. */
  constructor(name) {
    this.#prefix = `fanline.draft.${encodeURIComponent(name)}.`;
  }

  /** @param {string} room The id of a room. @returns {string} Its draft; may be empty. */
  in(room) {
    const text = browser.read(this.#prefix + room);
    return typeof text === "string" ? text : "";
  }

  /** @param {string} room The id of a room. @param {string} text Its draft; may be empty. */
  keep(room, text) {
    if (text) {
      browser.write(this.#prefix + room, text);
    } else {
      browser.remove(this.#prefix + room);
    }
  }

  /** Remove all of them. */
  clear() {
    browser.keys(this.#prefix).forEach((key) => {
      browser.remove(key);
    });
  }
}
