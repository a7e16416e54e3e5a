/**
 * The room that is open: what is said in it, who is there, and what is written but not said yet.
 *
 * @module
 */

import { avatar, byId, element } from "./dom.js";
import { Room } from "./fanline.js";
import { Departures, Members } from "./presence.js";
import { counted } from "./text.js";
import { Timeline } from "./timeline.js";
import { Unsent } from "./unsent.js";

const PAGE = 100;
const HISTORY_RETRY = 3_000; // milliseconds
const MOST_ANNOUNCED = 3; // of the messages that come at once, to those who listen to the page

/** One room, from its being opened to its being left. */
export class Conversation {
  #id;
  #api;
  #session;
  #options;
  #room;
  #timeline;
  #unsent;
  #members = new Members();
  #departures;
  #ending = new AbortController();
  #moves = [];
  #isLoading = false;
  #isShown = false;
  #unseen = 0;

  /**
   * @param {string} id Which room.
   * @param {import("./api.js").Api} api How to ask for what happened before.
   * @param {import("./session.js").Session} session Who is here.
   * @param {object} options
   * @param {(state: import("./fanline.js").State) => void} options.onState Told where the connection stands.
   * @param {(message: import("./fanline.js").RoomEvent) => void} options.onMessage Given each that is said.
   * @param {() => void} options.onSeen Called when everything has been seen.
   */
  constructor(id, api, session, options) {
    this.#id = id;
    this.#api = api;
    this.#session = session;
    this.#options = options;
    this.#prepare();
    this.#room = new Room(location.origin.replace(/^http/, "ws"), id, {
      token: session.token,
      onEvents: (events) => this.#take(events),
      onState: (state) => this.#changed(state),
    });
    this.#unsent = new Unsent(this.#room, this.#timeline, id, session);
  }

  /** @param {string} text What to say; it is kept until it is stored. */
  say(text) {
    this.#unsent.write(text);
    this.#timeline.toBottom();
  }

  /** Try to connect at once. */
  retryNow() {
    this.#room.retryNow();
  }

  /** Leave the room; what has just been said is seen through. */
  async close() {
    this.#ending.abort();
    this.#departures.clear();
    await this.#unsent.finish();
    this.#room.close();
  }

  #prepare() {
    const { signal } = this.#ending;
    this.#departures = new Departures((event) => this.#timeline.append([event]));
    this.#timeline = new Timeline(byId("scroller"), byId("messages"), {
      name: this.#session.name,
      onNeedOlder: (before) => this.#loadOlder(before),
      onScroll: () => this.#look(),
      signal,
    });
    byId("newest").addEventListener("click", () => this.#timeline.toBottom(), { signal });
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
    byId("beginning").textContent = "Loading…";
    this.#showMembers();
    this.#look();
  }

  #changed(state) {
    if (!this.#ending.signal.aborted) {
      this.#unsent?.relabel();
      this.#options.onState(state);
    }
  }

  #take(events) {
    if (this.#ending.signal.aborted) {
      return;
    }
    const shown = events.filter((event) => (event.type === "chat" ? true : this.#move(event)));
    const messages = shown.filter((event) => event.type === "chat");
    this.#unsent.settle(messages);
    this.#timeline.append(shown);
    this.#announce(messages.filter((message) => message.memberName !== this.#session.name));
    messages.forEach((message) => this.#options.onMessage(message));
    this.#look();
  }

  // Who is here.

  /** Note a coming or going; return whether it is worth a line now. */
  #move(event) {
    this.#moves.push(event);
    const isNews = this.#members.apply(event);
    this.#showMembers();
    if (event.self) {
      this.#join(event);
      return false;
    }
    if (event.type === "joined") {
      return !this.#departures.isReturn(event.memberName) && isNews;
    }
    if (isNews) {
      this.#departures.left(event);
    }
    return false;
  }

  /** A connection is there, the first or another one. */
  #join(event) {
    this.#unsent.joined(event.memberId);
    this.#timeline.begin(event.seq);
    this.#loadMembers();
  }

  async #loadMembers() {
    const moves = (this.#moves = []);
    const room = await this.#api.room(this.#id).catch(() => null);
    if (room && moves === this.#moves) {
      this.#members.replace(room.members);
      moves.filter(({ seq }) => seq > room.seq).forEach((event) => this.#members.apply(event));
      this.#showMembers();
    }
  }

  #showMembers() {
    if (this.#ending.signal.aborted) {
      return;
    }
    const groups = this.#members.groups;
    const isOwn = ({ name }) => name === this.#session.name;
    const inOrder = [...groups.filter(isOwn), ...groups.filter((group) => !isOwn(group))];
    byId("members").replaceChildren(...inOrder.map((group) => memberRow(group, isOwn(group))));
    byId("member-count").textContent = groups.length;
    byId("show-members").setAttribute("aria-label", `Members: ${groups.length}`);
  }

  // What was said before.

  async #loadOlder(before) {
    if (this.#isLoading) {
      return;
    }
    this.#isLoading = true;
    try {
      const page = await this.#api.messages(this.#id, before, PAGE);
      this.#isLoading = false;
      this.#takeOlder(page);
    } catch ({ status }) {
      if (status === undefined || (status >= 400 && status < 500)) {
        return; // the room or the login is gone, and the connection tells
      }
      byId("beginning").textContent = "Older messages cannot be loaded at the moment. Trying again…";
      setTimeout(() => this.#retryOlder(before), HISTORY_RETRY);
    }
  }

  #takeOlder(page) {
    if (this.#ending.signal.aborted) {
      return;
    }
    byId("beginning").textContent = page.length ? "Loading…" : "This is the beginning of the room.";
    this.#unsent.settle(page.filter((event) => event.type === "chat"));
    this.#timeline.prepend(page);
    this.#isShown = true;
    this.#look();
  }

  #retryOlder(before) {
    this.#isLoading = false;
    if (!this.#ending.signal.aborted) {
      this.#loadOlder(before);
    }
  }

  // What has been seen.

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
      this.#options.onSeen();
    }
    byId("newest").hidden = isAtBottom;
    byId("newest").textContent = this.#unseen ? counted(this.#unseen, "new message") : "Newest messages";
  }
}

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
