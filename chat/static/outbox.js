/**
 * Messages that were written and are not known to be stored: kept in the browser, across reloads.
 *
 * Each has an id, so that sending it again does no harm, as long as that is done under the same login and within
 * the server's memory of ids. Beyond that only a person can decide.
 *
 * @module
 */

const PREFIX = "fanline.outbox.";

// The server remembers ids for ten minutes, unless told otherwise; stay well within them.
const MEMORY_OF_IDS = 8 * 60_000;

/**
 * @typedef {object} Entry
 * @property {string} id Its id.
 * @property {string} room The room that it is for.
 * @property {string} text What was written.
 * @property {number} written When, in Unix milliseconds.
 * @property {string} [login] The login under which it was sent.
 * @property {number} [tried] When it was sent for the first time, or again by a person's decision.
 * @property {string[]} [members] As which members it was sent.
 * @property {string} [failure] Why it could not be stored.
 */

/**
 * Note a new message, or what has become of one.
 *
 * @param {Entry} entry The message.
 */
export function keep(entry) {
  try {
    localStorage.setItem(PREFIX + entry.id, JSON.stringify(entry));
  } catch {
    // The browser's store is full or closed to us: the message lives as long as the page.
  }
}

/**
 * A message is stored, or was given up.
 *
 * @param {Entry} entry The message.
 */
export const drop = (entry) => localStorage.removeItem(PREFIX + entry.id);

/**
 * Find what is kept, in the order in which it was written.
 *
 * @param {string} [room] For which room; by default for any.
 * @returns {Entry[]} The messages.
 */
export function kept(room) {
  return Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => JSON.parse(localStorage.getItem(key)))
    .filter((entry) => room === undefined || entry.room === room)
    .sort((one, other) => one.written - other.written);
}

/**
 * Whether a message may be sent without being stored twice.
 *
 * @param {Entry} entry The message.
 * @param {string} login The present login.
 * @returns {boolean} Whether it may; if not, nobody knows whether it is stored.
 */
export function isSafe(entry, login) {
  return entry.tried === undefined || (entry.login === login && Date.now() - entry.tried < MEMORY_OF_IDS);
}
