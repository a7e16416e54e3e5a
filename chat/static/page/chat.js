/**
 * The rooms of a logged-in user: the list of them, and the one that is open.
 *
 * @module
 */

import { CloseCode, Link } from "../fanline.js";
import { about } from "../model/about.js";
import { Api, serviceUrl } from "../model/api.js";
import { Drafts } from "../model/drafts.js";
import * as outbox from "../model/outbox.js";
import { Reading } from "../model/reading.js";
import * as sentences from "../model/sentences.js";
import { tab } from "../model/storage.js";
import { counted, dayAndTime, sentence } from "../model/text.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { askForRoom, closeAll, confirm, note } from "./dialogs.js";
import { avatar, byId, element, oncePerFrame, textButton, write } from "./dom.js";
import { closeDrawers } from "./drawers.js";
import { RoomList, shortened } from "./roomlist.js";

/** @import { RoomEvent, State } from "../fanline.js" */
/** @import { Failure } from "../model/api.js" */
/** @import { Opening } from "./conversation.js" */
/** @import { Marks, Summary } from "./roomlist.js" */
/** @import { Session } from "../model/session.js" */

const LOBBY = "lobby";
const KEPT_LONGER = 2; // times as long as a room can be restored, what was not sent in it is kept
const REVOKE_RETRY = 10_000; // milliseconds

/** Everything that is open under one login. */
export class Chat {
  #session;
  #onOver;
  #api;
  #drafts;
  #composer;
  #reading;
  #rooms;
  #feed;
  #roomId = "";
  #roomName = "";
  /** @type {Conversation | null} */
  #conversation = null;
  /** @type {Map<string, RoomEvent[]>} */
  #known = new Map();
  #drawSoon;
  /** @type {Summary[]} */
  #coming = [];
  /** @type {State} */
  #state = { phase: "connecting", reason: "" };
  #away = "";
  #deleted = ""; // the room that the user has deleted
  #ending = new AbortController();

  /**
   * @param {Session} session The login.
   * @param {(note: string) => void} onOver Called with a sentence when the login has ended.
   */
  constructor(session, onOver) {
    this.#session = session;
    this.#onOver = onOver;
    this.#api = new Api(session.token);
    const { signal } = this.#ending;
    this.#drafts = new Drafts(session.name);
    this.#composer = new Composer(this.#drafts, (text) => this.#conversation?.say(text), signal);
    this.#reading = new Reading(session.name, session.userId);
    this.#drawSoon = oncePerFrame(() => this.#draw(), signal);
    this.#rooms = new RoomList(
      (id) => this.#marks(id),
      (name) => this.#makeRoom(name),
    );
    byId("own-name").replaceChildren(avatar(session.name), element("span.name", {}, session.name));
    byId("log-out").addEventListener("click", () => this.#logOut(), { signal });
    byId("new-room").addEventListener("click", () => this.#makeRoom(), { signal });
    byId("delete-room").addEventListener("click", () => this.#deleteRoom(), { signal });
    addEventListener("offline", () => this.#showTrouble(), { signal });
    addEventListener("online", () => this.#showTrouble(), { signal });
    byId("retry").addEventListener("click", () => this.#retryNow(), { signal });
    addEventListener("storage", ({ key }) => this.#reading.reload(key) && this.#recount(), { signal });
    addEventListener("pagehide", () => this.#remember(), { signal });
    addEventListener("hashchange", () => this.#follow(), { signal });
    const feed = `${serviceUrl()}/api/feed`;
    this.#feed = new Link({
      dial: () => new WebSocket(feed, ["fanline.chat.v1", `fanline.token.${session.token}`]),
      onFrame: (frame) => this.#receive(frame),
      onState: (state) => {
        this.#away = ""; // a connection that is opened again is refused while the pipeline is away
        this.#showTrouble();
        this.#checkLogin(state);
      },
    });
    this.#follow();
  }

  /** @returns {string} The token of the login. */
  get token() {
    return this.#session.token;
  }

  /** Close all connections. */
  close() {
    this.#ending.abort();
    this.#composer.close();
    this.#feed.close();
    this.#conversation?.close();
    closeAll();
  }

  // All rooms.

  /**
   * @param {object} frame A frame of the feed.
   * @param {Summary[]} [frame.rooms] All rooms, or some of them.
   * @param {boolean} [frame.more] Whether more of them follow.
   * @param {Summary} [frame.made] A room that was made.
   * @param {{roomId: string}} [frame.deleted] A room that was deleted.
   * @param {Summary} [frame.room] A room in which something has happened.
   * @param {"ok" | "away"} [frame.pipeline] Whether messages can be stored.
   * @param {string} [frame.reason] Why they cannot.
   */
  #receive({ rooms, more = false, made, deleted, room, pipeline, reason = "" }) {
    if (pipeline) {
      this.#away = reason;
      this.#showTrouble();
    }
    if (pipeline === "ok") {
      this.#conversation?.resend();
    }
    if (rooms) {
      this.#coming.push(...rooms);
      if (!more) {
        this.#replaceRooms(this.#coming.splice(0));
      }
    } else if (made) {
      this.#reading.add(made);
      this.#rooms.add(made);
    } else if (deleted) {
      this.#reading.forget(deleted.roomId);
      this.#rooms.remove(deleted.roomId);
    } else if (room) {
      this.#reading.update(room);
      this.#rooms.refresh(room.roomId);
    }
    this.#drawSoon();
  }

  /** @param {Summary[]} rooms All rooms. */
  #replaceRooms(rooms) {
    this.#reading.replace(rooms);
    this.#rooms.replace(rooms);
    this.#rooms.select(this.#roomId);
    const ids = new Set(rooms.map(({ roomId }) => roomId));
    for (const entry of outbox.kept(this.#session.name)) {
      if (!ids.has(entry.room) && entry.written < Date.now() - KEPT_LONGER * about.restoreSeconds * 1_000) {
        outbox.drop(entry);
      }
    }
  }

  /** @param {string} [roomId] A room whose counts have changed; by default all. */
  #recount(roomId) {
    if (roomId === undefined) {
      this.#rooms.refreshAll();
    } else {
      this.#rooms.refresh(roomId);
    }
    this.#drawSoon();
  }

  /** @param {string} roomId A room. @returns {Marks} What is shown next to it; of the open one the page shows it. */
  #marks(roomId) {
    const isOpen = roomId === this.#roomId;
    return {
      unread: this.#reading.unread(roomId),
      unsent: isOpen ? 0 : outbox.kept(this.#session.name, roomId).length,
      hasDraft: !isOpen && this.#drafts.in(roomId) !== "",
    };
  }

  /** @param {string} [wanted] A name to begin with. */
  async #makeRoom(wanted = "") {
    const deleted = this.#api.deletedRooms().catch(() => []);
    const room = await askForRoom(wanted, deleted, {
      make: (name, isDuplicate) => this.#api.makeRoom(name, isDuplicate),
      restore: (roomId) => this.#api.restoreRoom(roomId),
    });
    if (room) {
      location.hash = encodeURIComponent(room.roomId);
    }
  }

  /** @param {string} roomId A room that was deleted. */
  async #restoreRoom(roomId) {
    if (await this.#attempt(this.#api.restoreRoom(roomId))) {
      location.hash = encodeURIComponent(roomId);
    }
  }

  async #deleteRoom() {
    const roomId = this.#roomId;
    const name = this.#name();
    if (
      !(await confirm(sentences.deleteRoom(name), sentences.deleteText(about.restoreSeconds), "Delete room"))
    ) {
      return;
    }
    this.#deleted = roomId;
    if (await this.#attempt(this.#api.deleteRoom(roomId).then(() => true))) {
      note(
        sentences.deleted(name),
        textButton("Undo", () => this.#restoreRoom(roomId)),
      );
    }
  }

  // The room that is open.

  /** Open the room that the address names. */
  #follow() {
    const roomId = roomOf(location.hash);
    if (roomId === null) {
      note(sentences.noRoom(decoded(location.hash)));
      location.replace("#");
      return;
    }
    if (roomId === this.#roomId) {
      return;
    }
    this.#closeConversation();
    this.#showState({ phase: "connecting", reason: "" });
    this.#roomId = roomId;
    this.#roomName = roomId === LOBBY ? "Lobby" : "";
    this.#rooms.select(roomId);
    closeDrawers();
    this.#conversation = new Conversation(roomId, this.#api, this.#session, this.#opening(roomId), {
      onState: (state) => this.#showState(state),
      onMessage: (message) => this.#reading.count(message),
      onSeen: (seq, after) => this.#seen(roomId, seq, after),
    });
    this.#showTitle();
    this.#composer.open(roomId);
  }

  /** @param {string} roomId A room. @returns {Opening} Where to open it. */
  #opening(roomId) {
    const place = tab.read(this.#placeKey(roomId));
    return {
      known: this.#known.get(roomId) ?? [],
      place: typeof place === "number" ? place : null,
      read: this.#reading.lastRead(roomId),
    };
  }

  /** Remember what is visible of the open room, for the next visit. */
  #remember() {
    if (this.#conversation) {
      this.#rememberPlace();
      this.#known.set(this.#roomId, this.#conversation.newest);
    }
  }

  #rememberPlace() {
    tab.write(this.#placeKey(this.#roomId), this.#conversation?.place ?? null);
  }

  #placeKey(/** @type {string} */ roomId) {
    return `fanline.place.${encodeURIComponent(this.#session.name)}.${roomId}`;
  }

  async #closeConversation() {
    const roomId = this.#roomId;
    this.#remember();
    await this.#conversation?.close();
    if (!this.#ending.signal.aborted) {
      this.#recount(roomId);
    }
  }

  /**
   * @param {string} roomId The open room.
   * @param {number} seq The position of the last message that was seen.
   * @param {number} after The number of messages after it.
   */
  #seen(roomId, seq, after) {
    this.#reading.see(roomId, seq, after);
    this.#recount(roomId);
    this.#rememberPlace(); // what is written while the page ends may be lost
  }

  /** @returns {string} The name of the room; the last one of a deleted room, empty while it is not known. */
  #name() {
    this.#roomName = this.#rooms.find(this.#roomId)?.roomName ?? this.#roomName;
    return this.#roomName;
  }

  #draw() {
    this.#rooms.draw();
    this.#showTitle();
  }

  /** @returns {boolean} Whether the user may delete the room: its creator and admins may. */
  #canDelete() {
    const { userId, role } = this.#session;
    const creator = this.#rooms.find(this.#roomId)?.creatorId;
    return this.#roomId !== LOBBY && creator !== undefined && (role === "admin" || creator === userId);
  }

  #showTitle() {
    const unread = this.#reading.total;
    byId("unread").hidden = unread === 0;
    write("unread", shortened(unread));
    const label = unread ? `Rooms, ${counted(unread, "unread message")}` : "Rooms";
    byId("show-rooms").setAttribute("aria-label", label);
    write("room-title", this.#name());
    byId("more").hidden = !this.#canDelete();
    this.#composer.address(this.#name());
    document.title = `${unread ? `(${unread}) ` : ""}${this.#name() || "…"} · ${about.name}`;
  }

  // Connections and what ends them.

  /** @param {State} state The new state of the room's connection. */
  #showState(state) {
    const { phase, reason } = state;
    this.#state = state;
    byId("chat").dataset.phase = phase;
    byId("status").textContent =
      phase === "open" ? "Connected" : phase === "waiting" ? "Not connected" : "Connecting…";
    this.#showTrouble();
    if (phase === "waiting" && this.#feed.isOpen) {
      this.#feed.reset(reason); // the feed has no probe of its own to notice that it is dead, too
    }
    this.#checkLogin(state);
    if (phase === "closed" && state.code !== CloseCode.LOGGED_OUT) {
      this.#returnToLobby(reason);
    }
  }

  /** Say what is wrong, and since when the device is offline: a server on it may be reached all the same. */
  #showTrouble() {
    const { phase, reason, isDoubtful } = this.#state;
    const trouble = phase === "open" ? (isDoubtful ? sentences.NO_ANSWER : this.#away) : reason;
    const device = navigator.onLine ? "" : sentences.OFFLINE;
    byId("problem").textContent = `${sentence(trouble)} ${device}`.trim();
    byId("trouble").hidden = !trouble;
  }

  /** @param {State} state The new state of a connection. */
  #checkLogin({ phase, code, reason }) {
    if (phase === "closed" && code === CloseCode.LOGGED_OUT && !this.#ending.signal.aborted) {
      this.#onOver(reason === sentences.LOGGED_OUT ? reason : sentences.LOGIN_ENDED);
    }
  }

  /** @param {string} reason Why the room is closed. */
  #returnToLobby(reason) {
    if (this.#roomId !== this.#deleted) {
      const unsent = outbox.kept(this.#session.name, this.#roomId);
      const kept = unsent.length ? sentences.unsentKept(KEPT_LONGER * about.restoreSeconds) : "";
      note(`${sentence(reason)} ${sentences.itWas(this.#name() || this.#roomId)} ${kept}`);
    }
    location.replace("#");
  }

  #retryNow() {
    this.#feed.retryNow();
    this.#conversation?.retryNow();
  }

  async #logOut() {
    const unsent = outbox.kept(this.#session.name);
    if (unsent.length && !(await confirm(sentences.LOG_OUT_NOW, sentences.LOG_OUT_LOSES, "Log out"))) {
      return;
    }
    outbox.kept(this.#session.name).forEach(outbox.drop);
    this.#drafts.clear();
    const isRevoked = await this.#revoke();
    const until = dayAndTime(new Date(this.#session.expires));
    this.#onOver(isRevoked ? sentences.LOGGED_OUT : sentences.loggedOutHere(until));
  }

  /** @returns {Promise<boolean>} Whether the server has ended the login; if not, it is tried again. */
  async #revoke() {
    try {
      await this.#api.logOut();
      return true;
    } catch (error) {
      if (/** @type {Failure} */ (error).status === 401) {
        return true;
      }
      setTimeout(() => this.#revoke(), REVOKE_RETRY);
      return false;
    }
  }

  /**
   * Wait for a request; show its failure.
   *
   * @template T
   * @param {Promise<T>} request The request.
   * @returns {Promise<T | undefined>} Its answer; undefined if it has failed.
   */
  async #attempt(request) {
    try {
      return await request;
    } catch (error) {
      const { status, message } = /** @type {Error & {status?: number}} */ (error);
      if (status === 401) {
        this.#onOver(sentences.LOGIN_ENDED);
      } else {
        note(message);
      }
      return undefined;
    }
  }
}

/** @param {string} hash Of the address. @returns {string | null} The room that it names; null if it names none. */
function roomOf(hash) {
  const roomId = decoded(hash);
  return [...roomId].length > about.limits.roomId ? null : roomId || LOBBY;
}

/** @param {string} hash Of the address. */
function decoded(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return hash.slice(1);
  }
}
