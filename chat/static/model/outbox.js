/**
 * Messages that were written and are not known to be stored: kept in the browser, across reloads.
 *
 * Each has an id, so that it can be sent again without being stored twice, as long as that is done under the same
 * login and within the server's memory of ids. After that only a person can decide.
 *
 * @module
 */

const PREFIX = "fanline.outbox.";

// The server remembers ids for ten minutes, unless set otherwise; stay well within them.
const MEMORY_OF_IDS = 8 * 60_000;

/**
 * @typedef {object} Entry
 * @property {string} id Its id.
 * @property {string} room The id of the room that it is for.
 * @property {string} text The text.
 * @property {number} written When, in Unix milliseconds.
 * @property {string} [login] The login under which it was sent.
 * @property {number} [tried] When it was first sent, or sent again by a person's decision.
 * @property {string[]} [members] The ids of the members as which it was sent.
 * @property {string} [failure] Why it could not be stored.
 */

/** @param {Entry} entry The message to add or replace. */
export function keep(entry) {
  try {
    localStorage.setItem(PREFIX + entry.id, JSON.stringify(entry));
  } catch {
    // The browser's store is full or closed to this page: the message lives as long as the page.
  }
}

/** @param {Entry} entry The message to remove: it is stored, or was given up. */
export const drop = (entry) => localStorage.removeItem(PREFIX + entry.id);

/**
 * Return the kept messages, in the order in which they were written.
 *
 * @param {string} [room] The id of a room; by default of any.
 * @returns {Entry[]} The messages.
 */
export function kept(room) {
  return Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => /** @type {Entry} */ (JSON.parse(localStorage.getItem(key) ?? "null")))
    .filter((entry) => room === undefined || entry.room === room)
    .sort((one, other) => one.written - other.written);
}

/**
 * Test whether a message can be sent without being stored twice.
 *
 * @param {Entry} entry The message.
 * @param {string} login The present login.
 * @returns {boolean} Whether it can; if not, it may be stored already.
 */
export function isSafe(entry, login) {
  return entry.tried === undefined || (entry.login === login && Date.now() - entry.tried < MEMORY_OF_IDS);
}
