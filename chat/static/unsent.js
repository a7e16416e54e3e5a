/**
 * What somebody has written in a room and is not known to be stored: shown below the messages until it is.
 *
 * @module
 */

import { byId, element } from "./dom.js";
import { Rejected } from "./fanline.js";
import * as outbox from "./outbox.js";
import { loginId } from "./session.js";
import { messageRow } from "./timeline.js";

const FINISH = 5_000; // milliseconds that a room is held open for answers that are due

/**
 * A message on the page.
 *
 * @typedef {object} Note
 * @property {outbox.Entry} entry What is kept of it.
 * @property {HTMLElement} row Its row.
 * @property {HTMLElement} status What is said about it.
 * @property {boolean} isUnderway Whether it is being sent, now or as soon as there is a connection.
 * @property {number} [seq] Where it is stored; its event has not come yet.
 */

/** The unsent messages of one room. */
export class Unsent {
  #room;
  #timeline;
  #roomId;
  #session;
  #member;
  #newest = 0;
  /** @type {Map<string, Note>} */
  #notes = new Map();
  #answers = new Set();

  /**
   * @param {import("./fanline.js").Room} room Where to send them.
   * @param {import("./timeline.js").Timeline} timeline What they stand below.
   * @param {string} roomId The id of the room.
   * @param {import("./session.js").Session} session Who writes.
   */
  constructor(room, timeline, roomId, session) {
    this.#room = room;
    this.#timeline = timeline;
    this.#roomId = roomId;
    this.#session = session;
    byId("unsent").replaceChildren();
    for (const entry of outbox.kept(roomId)) {
      const note = this.#add(entry);
      if (!entry.failure && this.#isSafe(note)) {
        this.#send(note);
      }
    }
  }

  /** @param {string} text A new message. */
  write(text) {
    const entry = { id: crypto.randomUUID(), room: this.#roomId, text, written: Date.now() };
    this.#send(this.#add(entry));
  }

  /**
   * Note that there is a connection, before anything is sent on it. What was sent so long ago that the server may
   * have forgotten its id is not sent again.
   *
   * @param {string} member Who one is on it.
   */
  joined(member) {
    this.#member = member;
    for (const note of this.#notes.values()) {
      if (note.isUnderway && this.#isSafe(note)) {
        this.#try(note);
      } else if (note.isUnderway) {
        note.isUnderway = false;
        this.#room.withdraw(note.entry.id);
      }
    }
    this.relabel();
  }

  /**
   * Take away what is there now as a message.
   *
   * @param {import("./fanline.js").RoomEvent[]} messages What was said.
   */
  settle(messages) {
    for (const { seq, memberId, memberName, message } of messages) {
      this.#newest = Math.max(this.#newest, seq);
      const isOwn = memberName === this.#session.name;
      const note =
        isOwn && [...this.#notes.values()].find((each) => isSame(each, { seq, memberId, message }));
      if (note) {
        this.#remove(note);
      }
    }
  }

  /** Say of each what it waits for. */
  relabel() {
    for (const note of this.#notes.values()) {
      this.#label(note);
    }
  }

  /** Wait for the answers that are due, but not for long. */
  async finish() {
    if (this.#room.state.phase === "open") {
      await Promise.race([
        Promise.allSettled(this.#answers),
        new Promise((done) => setTimeout(done, FINISH)),
      ]);
    }
  }

  #add(entry) {
    const time = new Date(entry.written);
    const row = messageRow(this.#session.name, entry.text, time, { isOwn: true });
    const status = element("div.status");
    row.append(status);
    row.classList.add("unsent");
    row.classList.toggle("continued", this.#notes.size > 0 || this.#timeline.isContinuedAt(time));
    const note = { entry, row, status, isUnderway: false };
    this.#notes.set(entry.id, note);
    byId("unsent").append(row);
    outbox.keep(entry);
    this.#label(note);
    return note;
  }

  #send(note) {
    const { entry } = note;
    note.isUnderway = true;
    delete entry.failure;
    if (this.#room.state.phase === "open" && this.#member) {
      this.#try(note);
    }
    this.#label(note);
    const answer = this.#room.say(entry.text, { id: entry.id }).then(
      ({ seq }) => this.#stored(note, seq),
      (error) => this.#failed(note, error),
    );
    this.#answers.add(answer);
    answer.finally(() => this.#answers.delete(answer));
  }

  #sendAgain(note) {
    delete note.entry.tried;
    this.#send(note);
  }

  /** Note, before it is sent, as whom it is. */
  #try({ entry }) {
    entry.tried ??= Date.now();
    entry.login = loginId(this.#session);
    entry.members = [...(entry.members ?? []), this.#member];
    outbox.keep(entry);
  }

  #stored(note, seq) {
    outbox.drop(note.entry);
    note.seq = seq;
    if (seq <= this.#newest) {
      this.#remove(note);
    }
  }

  #failed(note, error) {
    if (error instanceof Rejected && this.#notes.has(note.entry.id)) {
      note.isUnderway = false;
      note.entry.failure = error.message;
      outbox.keep(note.entry);
      this.#label(note);
    }
  }

  #remove({ entry, row }) {
    this.#notes.delete(entry.id);
    outbox.drop(entry);
    row.remove();
  }

  #discard(note) {
    this.#remove(note);
    this.#room.withdraw(note.entry.id);
    byId("text").focus();
  }

  #isSafe({ entry }) {
    return outbox.isSafe(entry, loginId(this.#session));
  }

  #label(note) {
    const { entry, row, status, isUnderway } = note;
    row.classList.toggle("failed", !isUnderway);
    if (isUnderway) {
      const isOpen = this.#room.state.phase === "open";
      row.classList.toggle("waiting", !isOpen);
      status.replaceChildren(isOpen ? "Sending…" : "Not sent yet: waiting for the connection");
      if (!isOpen) {
        status.append(
          " ",
          button("Discard", () => this.#discard(note)),
        );
      }
      return;
    }
    const isSafe = this.#isSafe(note);
    status.replaceChildren(
      isSafe ? `Not sent. ${entry.failure ?? ""} ` : "Nobody knows whether this was sent. ",
      button(isSafe ? "Try again" : "Send again", () => (isSafe ? this.#send(note) : this.#sendAgain(note))),
      " ",
      button("Discard", () => this.#discard(note)),
    );
  }
}

function isSame({ entry, seq }, message) {
  return (
    seq === message.seq ||
    (entry.members?.includes(message.memberId) === true && entry.text === message.message)
  );
}

const button = (text, onclick) => element("button.link", { type: "button", onclick }, text);
