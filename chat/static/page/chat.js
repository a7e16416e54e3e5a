/**
 * The rooms of a logged-in user: the list of them, and the one that is open.
 *
 * @module
 */

import { CloseCode, Link } from "../fanline.js";
import { Api } from "../model/api.js";
import { Drafts } from "../model/drafts.js";
import * as outbox from "../model/outbox.js";
import { Reading } from "../model/reading.js";
import { tab } from "../model/storage.js";
import { counted } from "../model/text.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { askForRoom, confirm, note } from "./dialogs.js";
import { avatar, byId, element, oncePerFrame } from "./dom.js";
import { closeDrawers } from "./drawers.js";
import { RoomList, shortened } from "./roomlist.js";

/** @import { RoomEvent, State } from "../fanline.js" */
/** @import { Opening } from "./conversation.js" */
/** @import { Marks, Summary } from "./roomlist.js" */
/** @import { Session } from "../model/session.js" */

const LOBBY = "lobby";
const ROOM_ID = /^[A-Za-z0-9_-]{1,64}$/;

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
    this.#reading = new Reading(session.name);
    this.#drawSoon = oncePerFrame(() => this.#draw(), signal);
    this.#rooms = new RoomList(
      (id) => this.#marks(id),
      (name) => this.#makeRoom(name),
    );
    byId("own-name").replaceChildren(avatar(session.name), element("span.name", {}, session.name));
    byId("log-out").addEventListener("click", () => this.#logOut(), { signal });
    byId("new-room").addEventListener("click", () => this.#makeRoom(), { signal });
    byId("delete-room").addEventListener("click", () => this.#deleteRoom(), { signal });
    byId("retry").addEventListener("click", () => this.#retryNow(), { signal });
    addEventListener("storage", ({ key }) => this.#reading.reload(key) && this.#recount(), { signal });
    addEventListener("pagehide", () => this.#remember(), { signal });
    addEventListener("hashchange", () => this.#follow(), { signal });
    const feed = `${location.origin.replace(/^http/, "ws")}/api/feed?${new URLSearchParams({ token: session.token })}`;
    this.#feed = new Link({
      url: () => feed,
      onFrame: (frame) => this.#receive(frame),
      onState: (state) => this.#checkLogin(state),
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
  }

  // All rooms.

  /** @param {{rooms?: Summary[], made?: Summary, deleted?: {roomId: string}, room?: Summary}} frame Of the feed. */
  #receive({ rooms, made, deleted, room }) {
    if (rooms) {
      this.#replaceRooms(rooms);
    } else if (made) {
      this.#reading.update(made);
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
    outbox
      .kept(this.#session.name)
      .filter((entry) => !ids.has(entry.room))
      .forEach(outbox.drop);
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
    const room = await askForRoom(wanted, (name) => this.#api.makeRoom(name));
    if (room) {
      location.hash = encodeURIComponent(room.roomId);
    }
  }

  async #deleteRoom() {
    const roomId = this.#roomId;
    const text = "All its members are disconnected, and its messages are deleted. This cannot be undone.";
    if (await confirm(`Delete “${this.#name()}”?`, text, "Delete room")) {
      await this.#attempt(this.#api.deleteRoom(roomId));
    }
  }

  // The room that is open.

  /** Open the room that the address names. */
  #follow() {
    const named = location.hash.slice(1);
    const roomId = ROOM_ID.test(named) ? named : LOBBY;
    if (roomId === this.#roomId) {
      return;
    }
    this.#closeConversation();
    this.#roomId = roomId;
    this.#roomName = roomId === LOBBY ? "Lobby" : "";
    this.#rooms.select(roomId);
    closeDrawers();
    this.#conversation = new Conversation(roomId, this.#api, this.#session, this.#opening(roomId), {
      onState: (state) => this.#showState(state),
      onMessage: (message) => this.#reading.count(message),
      onSeen: (seq, after) => this.#seen(roomId, seq, after),
    });
    byId("delete-room").hidden = roomId === LOBBY;
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
      tab.write(this.#placeKey(this.#roomId), this.#conversation.place);
      this.#known.set(this.#roomId, this.#conversation.newest);
    }
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

  #showTitle() {
    const unread = this.#rooms.unread;
    byId("unread").hidden = unread === 0;
    byId("unread").textContent = shortened(unread);
    const label = unread ? `Rooms, ${counted(unread, "unread message")}` : "Rooms";
    byId("show-rooms").setAttribute("aria-label", label);
    byId("room-title").textContent = this.#name();
    this.#composer.address(this.#name());
    document.title = `${unread ? `(${unread}) ` : ""}${this.#name() || "…"} · Fanline chat`;
  }

  // Connections and what ends them.

  /** @param {State} state The new state of the room's connection. */
  #showState(state) {
    const { phase, reason } = state;
    byId("chat").dataset.phase = phase;
    byId("status").textContent =
      phase === "open" ? "Connected" : phase === "waiting" ? "Not connected" : "Connecting…";
    byId("problem").textContent = navigator.onLine ? reason : "this device is offline";
    byId("trouble").hidden = phase === "open" || !reason;
    if (phase === "waiting" && this.#feed.isOpen) {
      this.#feed.reset(reason); // the feed has no probe of its own to notice that it is dead, too
    }
    this.#checkLogin(state);
    if (phase === "closed" && state.code !== CloseCode.LOGGED_OUT) {
      this.#returnToLobby(reason);
    }
  }

  /** @param {State} state The new state of a connection. */
  #checkLogin({ phase, code, reason }) {
    if (phase === "closed" && code === CloseCode.LOGGED_OUT && !this.#ending.signal.aborted) {
      this.#onOver(
        reason === "logged out" ? "You are logged out." : "Your login has ended. Please log in again.",
      );
    }
  }

  /** @param {string} reason Why the room is closed. */
  #returnToLobby(reason) {
    const unsent = outbox.kept(this.#session.name, this.#roomId);
    const loss = unsent.length ? " What you had written and not sent yet is gone with it." : "";
    note(`${capitalized(reason)}: “${this.#name() || this.#roomId}”.${loss}`);
    unsent.forEach(outbox.drop);
    location.replace("#");
  }

  #retryNow() {
    this.#feed.retryNow();
    this.#conversation?.retryNow();
  }

  async #logOut() {
    const unsent = outbox.kept(this.#session.name);
    const text = "What you have written and is not sent yet is lost.";
    if (unsent.length && !(await confirm("Log out now?", text, "Log out"))) {
      return;
    }
    const done = await this.#attempt(this.#api.logOut().then(() => true));
    if (done) {
      outbox.kept(this.#session.name).forEach(outbox.drop);
      this.#drafts.clear();
      this.#onOver("You are logged out.");
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
        this.#onOver("Your login has ended. Please log in again.");
      } else {
        note(message);
      }
      return undefined;
    }
  }
}

const capitalized = (/** @type {string} */ sentence) => sentence[0].toUpperCase() + sentence.slice(1);
