/**
 * Messages that were written and are not known to be stored: kept in the browser, across reloads.
 *
 * Each belongs to the person who wrote it: no other person sees it, and it is sent under no other name. Each has an id,
 * so that it can be sent again without being stored twice, as long as that is done under the same login and within
 * the server's memory of ids. After that only its author can decide.
 *
 * @module
 */

import { browser } from "./storage.js";

const PREFIX = "fanline.outbox.";

// The server remembers ids for ten minutes, unless set otherwise; stay well within them.
const MEMORY_OF_IDS = 8 * 60_000;

/**
 * @typedef {object} Entry
 * @property {string} id Its id.
 * @property {string} author The name of the person who wrote it.
 * @property {string} login The login under which it was written, or sent last.
 * @property {string} room The id of the room that it is for.
 * @property {string} text The text.
 * @property {number} written When, in Unix milliseconds.
 * @property {number} [tried] When it was first sent, or sent again by a person's decision.
 * @property {string[]} [members] The ids of the members as which it was sent.
 * @property {string} [failure] Why it could not be stored.
 */

/** @param {Entry} entry The message to add. */
export const keep = (entry) => browser.write(PREFIX + entry.id, entry);

/** @param {Entry} entry The message to replace, unless it was removed, here or in another tab. */
export function update(entry) {
  if (browser.read(PREFIX + entry.id)) {
    keep(entry);
  }
}

/** @param {Entry} entry The message to remove: it is stored, or was given up. */
export const drop = (entry) => browser.remove(PREFIX + entry.id);

/**
 * Return the kept messages of a person, in the order in which they were written.
 *
 * @param {string} author The person's name.
 * @param {string} [room] The id of a room; by default of any.
 * @returns {Entry[]} The messages.
 */
export function kept(author, room) {
  return browser
    .keys(PREFIX)
    .map((key) => browser.read(key))
    .filter(isEntry)
    .filter((entry) => entry.author === author && (room === undefined || entry.room === room))
    .sort((one, other) => one.written - other.written);
}

/**
 * Test whether a message can be sent without asking: by the login that wrote it, and without being stored twice.
 *
 * @param {Entry} entry The message.
 * @param {string} login The present login.
 * @returns {boolean} Whether it can.
 */
export function isSafe({ login: author, tried }, login) {
  return author === login && (tried === undefined || Date.now() - tried < MEMORY_OF_IDS);
}

/** @param {any} value What the browser's store holds. @returns {value is Entry} */
const isEntry = (value) =>
  ["id", "author", "login", "room", "text"].every((key) => typeof value?.[key] === "string") &&
  typeof value.written === "number";
