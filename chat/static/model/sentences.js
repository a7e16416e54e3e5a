/**
 * The sentences that the page says by itself. A refusal of the server brings its own.
 *
 * @module
 */

import { counted } from "./text.js";

const hours = (/** @type {number} */ seconds) => counted(Math.round(seconds / 3_600), "hour");

// Logins.
export const LOGGED_OUT = "You are logged out.";
export const LOGGED_OUT_ELSEWHERE = "You were logged out in another tab.";
export const LOGIN_ENDED = "Your login has ended. Please log in again.";
export const LOG_OUT_NOW = "Log out now?";
export const LOG_OUT_LOSES = "What you have written and is not sent yet is lost.";
export const loggedOutHere = (/** @type {string} */ until) =>
  `${LOGGED_OUT} The server could not be told: as long as this page is open, it will be, and otherwise the login ends
   by itself on ${until}.`;

// Connections.
export const UNREACHABLE = "The server cannot be reached. Please try again in a moment.";
export const NO_ANSWER = "The server does not answer so far.";
export const OFFLINE = "This device is offline.";
export const failed = (/** @type {number} */ status) => `The server answered ${status}.`;

// Rooms.
export const MAKE_ANYWAY = "For that, press “Make room” again.";
export const deleteText = (/** @type {number} */ seconds) =>
  `All its members are disconnected. You can restore it, with its messages, within ${hours(seconds)}.`;
export const unsentKept = (/** @type {number} */ seconds) =>
  `What you had not sent yet is kept for ${hours(seconds)}, in case it is restored.`;
export const deleteRoom = (/** @type {string} */ name) => `Delete “${name}”?`;
export const deleted = (/** @type {string} */ name) => `You have deleted “${name}”. `;
export const itWas = (/** @type {string} */ name) => `It was “${name}”.`;
export const noRoom = (/** @type {string} */ address) =>
  `The address names no room: ${address}. This is the lobby.`;
export const makeFound = (/** @type {string} */ name) => `No such room. Make “${name}”?`;

// Messages.
export const YOU = "You";
export const LOADING = "Loading…";
export const BEGINNING = "This is the beginning of the room.";
export const OLDER_LATER = "Older messages cannot be loaded at the moment. Trying again…";
export const NO_FILES = "Files cannot be sent here, only text.";
export const SENDING = "Sending…";
export const WAITING = "Not sent yet: waiting for the connection";
export const UNKNOWN = "Unknown whether this was sent.";
export const WRITTEN_BEFORE = "Written before you logged in, not sent.";
export const notSentYet = (/** @type {string} */ reason) => `Not sent yet. ${reason}`;
export const notSent = (/** @type {string} */ reason) => `Not sent. ${reason}`;
