/**
 * The room that is open: its messages, its members, and what the user writes in it.
 *
 * @module
 */

import { Room } from "../fanline.js";
import { Departures, Members } from "../model/presence.js";
import { counted } from "../model/text.js";
import { avatar, byId, element } from "./dom.js";
import { Timeline } from "./timeline.js";
import { Unsent } from "./unsent.js";

/** @import { Api } from "../model/api.js" */
/** @import { RoomEvent, State } from "../fanline.js" */
/** @import { Session } from "../model/session.js" */

const PAGE = 100;
const HISTORY_RETRY = 3_000; // milliseconds
const MOST_ANNOUNCED = 3; // of the messages that come at once, to users of a screen reader

/**
 * @typedef {object} Callbacks
 * @property {(state: State) => void} onState Called when the state of the connection changes.
 * @property {(message: RoomEvent) => void} onMessage Called with each new message.
 * @property {() => void} onSeen Called when everything has been seen.
 */

/** One room, while it is open. */
export class Conversation {
  #id;
  #api;
  #session;
  #callbacks;
  #room;
  #timeline;
  #unsent;
  #members = new Members();
  #departures;
  #ending = new AbortController();
  /** @type {RoomEvent[]} */
  #moves = [];
  #isLoading = false;
  #isShown = false;
  #unseen = 0;

  /**
   * @param {string} id The id of the room.
   * @param {Api} api Loads older messages.
   * @param {Session} session The user's login.
   * @param {Callbacks} callbacks
   */
  constructor(id, api, session, callbacks) {
    this.#id = id;
    this.#api = api;
    this.#session = session;
    this.#callbacks = callbacks;
    const { signal } = this.#ending;
    this.#departures = new Departures((event) => this.#timeline.append([event]));
    this.#timeline = new Timeline(byId("scroller"), byId("messages"), {
      name: session.name,
      onNeedOlder: (before) => this.#loadOlder(before),
      onScroll: () => this.#look(),
      signal,
    });
    byId("newest").addEventListener("click", () => this.#timeline.toBottom(), { signal });
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
    byId("beginning").textContent = "Loading…";
    this.#showMembers();
    this.#look();
    this.#room = new Room(location.origin.replace(/^http/, "ws"), id, {
      token: session.token,
      onEvents: (events) => this.#receive(events),
      onState: (state) => this.#changed(state),
    });
    this.#unsent = new Unsent(this.#room, this.#timeline, id, session);
  }

  /** @param {string} text The text to send; it is kept until it is stored. */
  say(text) {
    this.#unsent.write(text);
    this.#timeline.toBottom();
  }

  /** Connect at once, if waiting for the next attempt. */
  retryNow() {
    this.#room.retryNow();
  }

  /** Leave the room, after pending answers. */
  async close() {
    this.#ending.abort();
    this.#departures.clear();
    await this.#unsent.finish();
    this.#room.close();
  }

  get #isOver() {
    return this.#ending.signal.aborted;
  }

  /** @param {State} state The new state of the connection. */
  #changed(state) {
    if (!this.#isOver) {
      this.#unsent.relabel();
      this.#callbacks.onState(state);
    }
  }

  /** @param {RoomEvent[]} events Events that come together. */
  #receive(events) {
    if (this.#isOver) {
      return;
    }
    const shown = events.filter((event) => event.type === "chat" || this.#move(event));
    const messages = shown.filter((event) => event.type === "chat");
    this.#unsent.settle(messages);
    this.#timeline.append(shown);
    this.#announce(messages.filter((message) => message.memberName !== this.#session.name));
    for (const message of messages) {
      this.#callbacks.onMessage(message);
    }
    this.#look();
  }

  // Members.

  /** @param {RoomEvent} event A coming or going. @returns {boolean} Whether it is worth a line now. */
  #move(event) {
    this.#moves.push(event);
    const isNews = this.#members.apply(event);
    this.#showMembers();
    if (event.self) {
      this.#join(event);
      return false;
    }
    if (event.type === "joined") {
      return !this.#departures.cancel(event.memberName) && isNews;
    }
    if (isNews) {
      this.#departures.add(event);
    }
    return false;
  }

  /** @param {RoomEvent} event The first event of a connection. */
  #join(event) {
    this.#unsent.joined(event.memberId);
    this.#timeline.begin(event.seq);
    this.#loadMembers();
  }

  async #loadMembers() {
    /** @type {RoomEvent[]} */
    const moves = [];
    this.#moves = moves;
    const room = await this.#api.room(this.#id).catch(() => null);
    if (room && moves === this.#moves) {
      this.#members.replace(room.members);
      for (const event of moves.filter(({ seq }) => seq > room.seq)) {
        this.#members.apply(event);
      }
      this.#showMembers();
    }
  }

  #showMembers() {
    if (this.#isOver) {
      return;
    }
    const groups = this.#members.groups;
    const isOwn = (/** @type {{name: string}} */ { name }) => name === this.#session.name;
    const inOrder = [...groups.filter(isOwn), ...groups.filter((group) => !isOwn(group))];
    byId("members").replaceChildren(...inOrder.map((group) => memberRow(group, isOwn(group))));
    byId("member-count").textContent = `${groups.length}`;
    byId("show-members").setAttribute("aria-label", `Members: ${groups.length}`);
  }

  // Older messages.

  /** @param {number} before A position. */
  async #loadOlder(before) {
    if (this.#isLoading) {
      return;
    }
    this.#isLoading = true;
    try {
      const page = await this.#api.messages(this.#id, before, PAGE);
      this.#isLoading = false;
      this.#showOlder(page);
    } catch (error) {
      const { status } = /** @type {{status?: number}} */ (error);
      if (status === undefined || (status >= 400 && status < 500)) {
        return; // the room or the login is gone, and the connection tells
      }
      byId("beginning").textContent = "Older messages cannot be loaded at the moment. Trying again…";
      setTimeout(() => this.#retryOlder(before), HISTORY_RETRY);
    }
  }

  /** @param {RoomEvent[]} page Older events; empty if there are none. */
  #showOlder(page) {
    if (this.#isOver) {
      return;
    }
    byId("beginning").textContent = page.length ? "Loading…" : "This is the beginning of the room.";
    this.#unsent.settle(page.filter((event) => event.type === "chat"));
    this.#timeline.prepend(page);
    this.#isShown = true;
    this.#look();
  }

  /** @param {number} before A position. */
  #retryOlder(before) {
    this.#isLoading = false;
    if (!this.#isOver) {
      this.#loadOlder(before);
    }
  }

  // Unseen messages.

  /** @param {RoomEvent[]} messages New messages of others. */
  #announce(messages) {
    if (messages.length === 0) {
      return;
    }
    this.#unseen += messages.length;
    const lines = messages
      .slice(-MOST_ANNOUNCED)
      .map(({ memberName, message }) => `${memberName}: ${message}`);
    byId("announcer").textContent = lines.join("\n");
  }

  #look() {
    const isAtBottom = this.#timeline.isAtBottom;
    if (this.#isShown && isAtBottom && document.visibilityState === "visible") {
      this.#unseen = 0;
      this.#callbacks.onSeen();
    }
    byId("newest").hidden = isAtBottom;
    byId("newest").textContent = this.#unseen ? counted(this.#unseen, "new message") : "Newest messages";
  }
}

/** @param {{name: string, count: number}} group @param {boolean} isOwn */
function memberRow({ name, count }, isOwn) {
  const row = element("li", { title: name }, avatar(name), element("bdi.name", {}, name));
  if (isOwn) {
    row.append(element("span.note", {}, "you"));
  }
  if (count > 1) {
    row.append(element("span.note", { title: `connected ${count} times` }, `×${count}`));
  }
  return row;
}
