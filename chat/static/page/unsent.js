/**
 * The messages that a user has written in a room and that are not known to be stored: shown below the others.
 *
 * @module
 */

import { Rejected } from "../fanline.js";
import * as outbox from "../model/outbox.js";
import * as sentences from "../model/sentences.js";
import { loginId } from "../model/session.js";
import { sentence } from "../model/text.js";
import { byId, element, textButton } from "./dom.js";
import { messageRow } from "./rows.js";

/** @import { Room, RoomEvent } from "../fanline.js" */
/** @import { Entry } from "../model/outbox.js" */
/** @import { Session } from "../model/session.js" */
/** @import { Timeline } from "./timeline.js" */

const FINISH = 5_000; // milliseconds that a room is held open for pending answers
const RETRY = 4_000; // milliseconds after which a message that could not be stored is sent again
const PASSING = new Set(["failed", "unavailable", "rate-limited"]); // refusals that do not last

/**
 * A message on the page.
 *
 * @typedef {object} Note
 * @property {Entry} entry What is kept of it.
 * @property {HTMLElement} row Its row.
 * @property {HTMLElement} status The line about its state.
 * @property {boolean} isUnderway Whether it is being sent, now or as soon as there is a connection.
 * @property {string} [trouble] Why it could not be stored the last time; it is sent again by itself.
 * @property {number} [seq] Its position, if it is stored and its event has not come yet.
 */

/** The unsent messages of one room. */
export class Unsent {
  #room;
  #timeline;
  #roomId;
  #session;
  #login;
  /** @type {string | undefined} */
  #member;
  #newest = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retrying;
  /** @type {Map<string, Note>} */
  #notes = new Map();
  /** @type {Set<Promise<void>>} */
  #answers = new Set();

  /**
   * @param {Room} room Where to send them.
   * @param {Timeline} timeline The messages that they are shown below.
   * @param {string} roomId The id of the room.
   * @param {Session} session The user's login.
   */
  constructor(room, timeline, roomId, session) {
    this.#room = room;
    this.#timeline = timeline;
    this.#roomId = roomId;
    this.#session = session;
    this.#login = loginId(session);
    byId("unsent").replaceChildren();
    for (const entry of outbox.kept(session.name, roomId)) {
      const note = this.#add(entry);
      if (!entry.failure && this.#isSafe(note)) {
        this.#send(note);
      }
    }
  }

  /** @param {string} text The text of a new message. */
  write(text) {
    const entry = {
      id: crypto.randomUUID(),
      author: this.#session.name,
      login: this.#login,
      room: this.#roomId,
      text,
      written: Date.now(),
    };
    outbox.keep(entry);
    this.#send(this.#add(entry));
  }

  /**
   * Begin a connection, before anything is sent on it. A message that was sent so long ago that the server may have
   * forgotten its id is not sent again.
   *
   * @param {string} member The id of the member that the user is on it.
   */
  joined(member) {
    this.#member = member;
    for (const note of this.#notes.values()) {
      if (note.isUnderway && this.#isSafe(note)) {
        this.#try(note, member);
      } else if (note.isUnderway) {
        note.isUnderway = false;
        this.#room.withdraw(note.entry.id);
      }
    }
    this.relabel();
  }

  /**
   * Remove messages that have become events of the room.
   *
   * @param {RoomEvent[]} messages Events that have come.
   */
  settle(messages) {
    for (const message of messages) {
      this.#newest = Math.max(this.#newest, message.seq);
      const isOwn = message.userId === this.#session.userId;
      const note = isOwn && [...this.#notes.values()].find((each) => isSame(each, message));
      if (note) {
        this.#remove(note);
      }
    }
  }

  /** Show the state of each message again. */
  relabel() {
    for (const note of this.#notes.values()) {
      this.#label(note);
    }
  }

  /** Send what could not be stored again, now. */
  retry() {
    clearTimeout(this.#retrying);
    for (const note of this.#notes.values()) {
      if (note.trouble && this.#isSafe(note)) {
        this.#send(note);
      }
    }
  }

  /** Wait for pending answers, for at most five seconds. */
  async finish() {
    clearTimeout(this.#retrying);
    if (this.#room.state.phase === "open") {
      const timeout = new Promise((done) => setTimeout(done, FINISH));
      await Promise.race([Promise.allSettled(this.#answers), timeout]);
    }
  }

  /** @param {Entry} entry A message. */
  #add(entry) {
    const time = new Date(entry.written);
    const isContinued = this.#notes.size > 0 || this.#timeline.isContinuedBy(time);
    const row = messageRow(this.#session.name, entry.text, time, { isOwn: true, isContinued });
    const status = element("div.status");
    row.append(status);
    row.classList.add("unsent");
    /** @type {Note} */
    const note = { entry, row, status, isUnderway: false };
    this.#notes.set(entry.id, note);
    byId("unsent").append(row);
    this.#label(note);
    return note;
  }

  /** @param {Note} note A message. */
  #send(note) {
    const { entry } = note;
    note.isUnderway = true;
    delete note.trouble;
    delete entry.failure;
    if (this.#room.state.phase === "open" && this.#member) {
      this.#try(note, this.#member);
    }
    this.#label(note);
    const answer = this.#room.say(entry.text, { id: entry.id }).then(
      ({ seq }) => this.#stored(note, seq),
      (error) => this.#failed(note, error),
    );
    this.#answers.add(answer);
    answer.finally(() => this.#answers.delete(answer));
  }

  /**
   * Keep who sends a message, before it is sent.
   *
   * @param {Note} note The message.
   * @param {string} member The id of the member that the user is.
   */
  #try({ entry }, member) {
    entry.tried ??= Date.now();
    entry.login = this.#login;
    entry.members = [...(entry.members ?? []), member];
    outbox.update(entry);
  }

  /** @param {Note} note @param {number} seq */
  #stored(note, seq) {
    outbox.drop(note.entry);
    note.seq = seq;
    if (seq <= this.#newest) {
      this.#remove(note);
    }
  }

  /** @param {Note} note @param {Error} error */
  #failed(note, error) {
    if (!(error instanceof Rejected) || !this.#notes.has(note.entry.id)) {
      return;
    }
    note.isUnderway = false;
    if (PASSING.has(error.code)) {
      note.trouble = sentence(error.message);
      clearTimeout(this.#retrying);
      this.#retrying = setTimeout(() => this.retry(), RETRY);
    } else {
      note.entry.failure = sentence(error.message);
      outbox.update(note.entry);
    }
    this.#label(note);
  }

  /** @param {Note} note A message that is stored, or was given up. */
  #remove({ entry, row }) {
    this.#notes.delete(entry.id);
    outbox.drop(entry);
    row.remove();
  }

  /** @param {Note} note A message that the user gives up. */
  #discard(note) {
    this.#remove(note);
    this.#room.withdraw(note.entry.id);
    byId("text").focus();
  }

  /** @param {Note} note A message. */
  #isSafe({ entry }) {
    return outbox.isSafe(entry, this.#login);
  }

  /** @param {Note} note A message. */
  #label(note) {
    const { entry, row, status, isUnderway } = note;
    const discard = textButton("Discard", () => this.#discard(note));
    row.classList.toggle("failed", !isUnderway);
    if (isUnderway) {
      const isOpen = this.#room.state.phase === "open";
      row.classList.toggle("waiting", !isOpen);
      status.replaceChildren(isOpen ? sentences.SENDING : `${sentences.WAITING} `);
      if (!isOpen) {
        status.append(discard);
      }
    } else if (this.#isSafe(note)) {
      const again = textButton("Try again", () => this.#send(note));
      const { trouble } = note;
      const state = trouble ? sentences.notSentYet(trouble) : sentences.notSent(entry.failure ?? "");
      status.replaceChildren(`${state} `, again, " ", discard);
    } else {
      const again = textButton(entry.tried ? "Send again" : "Send", () => {
        delete entry.tried;
        entry.login = this.#login;
        this.#send(note);
      });
      const state = entry.tried ? sentences.UNKNOWN : sentences.WRITTEN_BEFORE;
      status.replaceChildren(`${state} `, again, " ", discard);
    }
  }
}

/** @param {Note} note @param {RoomEvent} message */
function isSame({ entry, seq }, { seq: position, memberId, message }) {
  return seq === position || (entry.members?.includes(memberId) === true && entry.text === message);
}
