/**
 * The list of rooms: which there are, which is open, and how much in them is new.
 *
 * @module
 */

import { byId, element } from "./dom.js";
import { counted } from "./text.js";

const FILTER_FROM = 8; // rooms from which on a field to find one is of use
const MOST_SHOWN = 99;

/** @typedef {{roomId: string, roomName: string, members: number, messages: number, seq: number}} Summary */

/** Rooms as links, the lobby first, the others by name. */
export class RoomList {
  #list = byId("rooms");
  #filter = byId("filter");
  #unreadOf;
  #unsentOf;
  /** @type {Map<string, {room: Summary, row: HTMLElement, link: HTMLElement}>} */
  #rows = new Map();
  #current;

  /**
   * @param {object} options What to note beside a room.
   * @param {(roomId: string) => number} options.unreadOf How many messages are new.
   * @param {(roomId: string) => number} options.unsentOf How many were written and are not sent.
   */
  constructor({ unreadOf, unsentOf }) {
    this.#unreadOf = unreadOf;
    this.#unsentOf = unsentOf;
    this.#list.replaceChildren();
    this.#filter.value = "";
    this.#filter.oninput = () => this.#applyFilter();
    this.#list.onkeydown = (event) => this.#walk(event);
  }

  /** @returns {number} How many messages are unread, in all rooms. */
  get unread() {
    return [...this.#rows.keys()].reduce((sum, id) => sum + this.#unreadOf(id), 0);
  }

  /** @returns {string | undefined} The name of a room. */
  nameOf(roomId) {
    return this.#rows.get(roomId)?.room.roomName;
  }

  /** @param {Summary[]} rooms All there are. */
  replace(rooms) {
    this.#rows = new Map(rooms.map((room) => [room.roomId, newRow(room)]));
    const inOrder = [...this.#rows.values()].sort((one, other) => order(one.room, other.room));
    this.#list.replaceChildren(...inOrder.map(({ row }) => row));
    rooms.forEach(({ roomId }) => this.refresh(roomId));
    this.#applyFilter();
  }

  /** @param {Summary} room A new one. */
  add(room) {
    this.remove(room.roomId);
    const made = newRow(room);
    const next = [...this.#rows.values()]
      .filter((each) => order(room, each.room) < 0)
      .sort((one, other) => order(one.room, other.room))[0];
    this.#list.insertBefore(made.row, next?.row ?? null);
    this.#rows.set(room.roomId, made);
    this.refresh(room.roomId);
    this.#applyFilter();
  }

  remove(roomId) {
    this.#rows.get(roomId)?.row.remove();
    this.#rows.delete(roomId);
    this.#applyFilter();
  }

  /** @param {string} roomId The room that is open now. */
  select(roomId) {
    const former = this.#current;
    this.#current = roomId;
    this.refresh(former);
    this.refresh(roomId);
    this.#rows.get(roomId)?.row.scrollIntoView({ block: "nearest" });
  }

  /** Show what is to be noted beside a room. */
  refresh(roomId) {
    const known = this.#rows.get(roomId);
    if (!known) {
      return;
    }
    const { room, link } = known;
    const unread = this.#unreadOf(roomId);
    const unsent = this.#unsentOf(roomId);
    const notes = [unread && counted(unread, "unread message"), unsent && `${unsent} not sent`].filter(
      Boolean,
    );
    link.classList.toggle("unread", unread > 0);
    if (roomId === this.#current) {
      link.setAttribute("aria-current", "page");
    } else {
      link.removeAttribute("aria-current");
    }
    link.setAttribute("aria-label", [room.roomName, ...notes].join(", "));
    link.replaceChildren(element("bdi.name", {}, room.roomName));
    if (unsent) {
      link.append(element("span.badge.unsent", { title: `${unsent} not sent` }, "!"));
    }
    if (unread) {
      link.append(element("span.badge", {}, unread > MOST_SHOWN ? `${MOST_SHOWN}+` : unread));
    }
  }

  refreshAll() {
    for (const roomId of this.#rows.keys()) {
      this.refresh(roomId);
    }
  }

  #applyFilter() {
    this.#filter.hidden = this.#rows.size < FILTER_FROM;
    const wanted = this.#filter.hidden ? "" : this.#filter.value.trim().toLocaleLowerCase();
    for (const { room, row } of this.#rows.values()) {
      row.hidden = !room.roomName.toLocaleLowerCase().includes(wanted);
    }
  }

  /** The arrow keys go from room to room. */
  #walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const links = [...this.#list.querySelectorAll("li:not([hidden]) a")];
      links[links.indexOf(event.target) + step]?.focus();
      event.preventDefault();
    }
  }
}

function newRow(room) {
  const link = element("a", { href: `#${room.roomId}`, title: room.roomName });
  return { room, link, row: element("li", {}, link) };
}

const order = (one, other) =>
  Number(other.roomId === "lobby") - Number(one.roomId === "lobby") ||
  one.roomName.localeCompare(other.roomName);
