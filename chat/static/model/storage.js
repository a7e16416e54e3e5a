/**
 * Values that the browser keeps. Whatever is stored there, reading never fails: what cannot be read counts as absent,
 * and what the browser does not take (it is full, or blocked for this page) lives as long as the page.
 *
 * @module
 */

/** One of the browser's two areas. */
class Area {
  /** @type {Map<string, unknown>} */
  #untaken = new Map();
  #open;

  /** @param {() => Storage} open Returns the area; may throw. */
  constructor(open) {
    this.#open = open;
  }

  /** @param {string} key A key. @returns {unknown} Its value; null if there is none that can be read. */
  read(key) {
    try {
      return this.#untaken.get(key) ?? JSON.parse(this.#open().getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {string} key A key. @param {unknown} value Its new value. */
  write(key, value) {
    try {
      this.#open().setItem(key, JSON.stringify(value));
      this.#untaken.delete(key);
    } catch {
      this.#untaken.set(key, value);
    }
  }

  /** @param {string} key The key to remove. */
  remove(key) {
    this.#untaken.delete(key);
    try {
      this.#open().removeItem(key);
    } catch {
      // It is blocked, and so holds nothing.
    }
  }

  /** @param {string} prefix How keys begin. @returns {string[]} Those that are there. */
  keys(prefix) {
    const found = new Set(this.#untaken.keys());
    try {
      for (const key of Object.keys(this.#open())) {
        found.add(key);
      }
    } catch {
      // It is blocked, and so holds nothing.
    }
    return [...found].filter((key) => key.startsWith(prefix));
  }
}

/** Kept until it is removed, common to all tabs. */
export const browser = new Area(() => localStorage);

/** Kept as long as the tab, across reloads. */
export const tab = new Area(() => sessionStorage);
