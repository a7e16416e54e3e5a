/**
 * The room that is open: its messages, its members, and what the user writes in it.
 *
 * @module
 */

import { Room } from "../fanline.js";
import { Failure, serviceUrl } from "../model/api.js";
import * as sentences from "../model/sentences.js";
import { counted, dayName } from "../model/text.js";
import { byId, element, oncePerFrame } from "./dom.js";
import { MemberList } from "./members.js";
import { Timeline } from "./timeline.js";
import { Unsent } from "./unsent.js";

/** @import { Api, Page } from "../model/api.js" */
/** @import { RoomEvent, State } from "../fanline.js" */
/** @import { Session } from "../model/session.js" */

const PAGE = 100;
const LARGE_PAGE = 500; // while the place to open at is looked for
const MOST_BACK = 2_000; // messages that are looked through for it
const HISTORY_RETRY = 3_000; // milliseconds
const GONE = new Set([401, 403, 404]);
const MOST_ANNOUNCED = 3; // of the messages that come at once, to users of a screen reader

/**
 * Where a room is to be opened, and what is shown until it is loaded.
 *
 * @typedef {object} Opening
 * @property {RoomEvent[]} known Its newest messages, as of an earlier visit.
 * @property {number | null} place The position of the first message that was visible at an earlier visit; null for
 *   the first unread one.
 * @property {number} read The position of the last message that was read; infinite if all were.
 */

/**
 * @typedef {object} Callbacks
 * @property {(state: State) => void} onState Called when the state of the connection changes.
 * @property {(message: RoomEvent) => void} onMessage Called with each new message.
 * @property {(seq: number, after: number) => void} onSeen Called with the position of the last message that has been
 *   seen, and the number of messages after it.
 */

/** One room, while it is open. */
export class Conversation {
  #id;
  #api;
  #session;
  #callbacks;
  #opening;
  #room;
  #timeline;
  #unsent;
  #members;
  #ending = new AbortController();
  #isLoading = false;
  #loads = 0; // those that were begun before are of no use
  #isShown = false;
  #seen;
  #lookSoon;

  /**
   * @param {string} id The id of the room.
   * @param {Api} api Loads older messages.
   * @param {Session} session The user's login.
   * @param {Opening} opening Where to open it.
   * @param {Callbacks} callbacks
   */
  constructor(id, api, session, opening, callbacks) {
    this.#id = id;
    this.#api = api;
    this.#session = session;
    this.#opening = opening;
    this.#callbacks = callbacks;
    this.#seen = opening.read;
    const { signal } = this.#ending;
    this.#lookSoon = oncePerFrame(() => this.#look(), signal);
    this.#members = new MemberList(id, api, session.userId, signal);
    this.#timeline = new Timeline(byId("scroller"), byId("messages"), {
      userId: session.userId,
      onNeedOlder: (before) => this.#loadOlder(before),
      onScroll: this.#lookSoon,
      signal,
    });
    byId("newest").addEventListener("click", () => this.#timeline.toBottom(), { signal });
    document.addEventListener("visibilitychange", this.#lookSoon, { signal });
    byId("beginning").textContent = sentences.LOADING;
    this.#timeline.append(opening.known);
    this.#look();
    this.#renameDaysAtMidnight();
    this.#room = new Room(serviceUrl(), id, {
      token: session.token,
      onEvents: (events) => this.#receive(events),
      onState: (state) => this.#changed(state),
    });
    this.#unsent = new Unsent(this.#room, this.#timeline, id, session);
  }

  /** @returns {number | null} The position of the first visible message; null if the newest one is visible. */
  get place() {
    const { isAtBottom, visible } = this.#timeline;
    const atBottom = this.#isShown ? null : this.#opening.place; // else known messages alone are there so far
    return isAtBottom ? atBottom : (visible?.first.seq ?? null);
  }

  /** @returns {RoomEvent[]} The newest messages. */
  get newest() {
    return this.#timeline.newest;
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

  /** Send what could not be stored again: it can be now. */
  resend() {
    this.#unsent.retry();
  }

  /** Leave the room, after pending answers. */
  async close() {
    this.#ending.abort();
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
    for (const event of events.filter(({ type }) => type !== "chat")) {
      this.#members.apply(event);
    }
    const own = events.find((event) => event.self);
    if (own) {
      this.#join(own);
    }
    const messages = events.filter(({ type }) => type === "chat");
    if (messages.length) {
      this.#show(messages);
    }
  }

  /** @param {RoomEvent} event The first event of a connection. */
  #join(event) {
    if (!this.#isShown) {
      this.#opening = { ...this.#opening, place: this.place };
      this.#timeline.restart(); // what an earlier visit or connection knew is loaded again
      this.#loads++;
      this.#isLoading = false;
    }
    this.#unsent.joined(event.memberId);
    this.#timeline.begin(event.seq);
    this.#members.load();
  }

  /** @param {RoomEvent[]} messages New messages. */
  #show(messages) {
    this.#unsent.settle(messages);
    this.#timeline.append(messages);
    this.#announce(messages.filter(({ userId }) => userId !== this.#session.userId));
    for (const message of messages) {
      this.#callbacks.onMessage(message);
    }
    this.#lookSoon();
  }

  // Older messages.

  /** @param {number} before A position. */
  async #loadOlder(before) {
    if (this.#isLoading || this.#isOver) {
      return;
    }
    this.#isLoading = true;
    const loads = this.#loads;
    const isFirst = this.#timeline.countAfter(0) === 0;
    try {
      const page = await this.#api.messages(this.#id, before, this.#isShown || isFirst ? PAGE : LARGE_PAGE);
      if (loads === this.#loads) {
        this.#isLoading = false;
        this.#showOlder(page);
      }
    } catch (error) {
      if (!(error instanceof Failure)) {
        throw error; // a mistake of this page
      }
      if (this.#isOver || loads !== this.#loads || GONE.has(error.status)) {
        return; // the room or the login is gone, and the connection tells
      }
      byId("beginning").textContent = sentences.OLDER_LATER;
      setTimeout(() => loads === this.#loads && this.#retryOlder(before), HISTORY_RETRY);
    }
  }

  /** @param {Page} page Older messages. */
  #showOlder({ messages, before }) {
    if (this.#isOver) {
      return;
    }
    byId("beginning").textContent = before === null ? sentences.BEGINNING : sentences.LOADING;
    this.#unsent.settle(messages);
    this.#timeline.prepend(messages, before);
    if (this.#isShown) {
      this.#lookSoon();
    } else if (before === null || this.#isReached(before)) {
      this.#open();
    } else {
      this.#loadOlder(before);
    }
  }

  /** @param {number} before A position from which on all is loaded. */
  #isReached(before) {
    const { place, read } = this.#opening;
    return before <= (place ?? read) || this.#timeline.countAfter(0) >= MOST_BACK;
  }

  /** Scroll to where the user was, or to the first unread message; in both cases that is under a line that says so. */
  #open() {
    const { place, read } = this.#opening;
    const unread = this.#timeline.countAfter(read);
    this.#isShown = true;
    this.#seen = Math.min(read, this.#timeline.newest.at(-1)?.seq ?? 0);
    if (unread) {
      this.#timeline.drawLine(read, counted(unread, "new message"));
    }
    if (place !== null) {
      this.#timeline.scrollTo(place - 1);
    } else if (unread) {
      this.#timeline.scrollTo(read);
    }
    this.#look();
  }

  /** @param {number} before A position. */
  #retryOlder(before) {
    this.#isLoading = false;
    this.#loadOlder(before);
  }

  // What the user sees.

  /** @param {RoomEvent[]} messages New messages of others. */
  #announce(messages) {
    const lines = messages
      .slice(-MOST_ANNOUNCED)
      .map(({ memberName, message }) => `${memberName}: ${message}`);
    if (lines.length) {
      byId("announcer").textContent = lines.join("\n");
    }
  }

  #look() {
    const { isAtBottom, visible } = this.#timeline;
    if (this.#isShown && visible && document.visibilityState === "visible") {
      this.#seen = Math.max(this.#seen, visible.last.seq);
      this.#callbacks.onSeen(this.#seen, this.#timeline.countAfter(this.#seen));
    }
    const unseen = this.#timeline.countAfter(this.#seen);
    byId("newest").hidden = isAtBottom;
    byId("newest").textContent = unseen ? counted(unseen, "new message") : "Newest messages";
    byId("day").hidden = !visible || visible.hasDay;
    if (visible) {
      const { first, hasSender } = visible;
      const sender = first.userId === this.#session.userId ? sentences.YOU : first.memberName;
      byId("day").replaceChildren(dayName(new Date(first.sent)));
      if (!hasSender) {
        byId("day").append(" · ", element("bdi", {}, sender));
      }
    }
  }

  #renameDaysAtMidnight() {
    const now = new Date();
    const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
    const timer = setTimeout(() => {
      this.#timeline.renameDays();
      this.#look();
      this.#renameDaysAtMidnight();
    }, midnight.getTime() - now.getTime());
    this.#ending.signal.addEventListener("abort", () => clearTimeout(timer));
  }
}
