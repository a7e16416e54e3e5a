/**
 * The list of rooms, with the open one marked and the unread ones counted.
 *
 * @module
 */

import { counted } from "../model/text.js";
import { byId, element } from "./dom.js";

const FILTER_FROM = 8; // rooms from which on there is a field to find one
const MOST_SHOWN = 99;

/** @typedef {{roomId: string, roomName: string, members: number, messages: number, seq: number}} Summary A room. */
/** @typedef {{room: Summary, row: HTMLElement, link: HTMLElement}} Row */

/** Rooms as links, the lobby first, the others by name. */
export class RoomList {
  #list = byId("rooms");
  #filter = byId("filter");
  #unreadOf;
  #unsentOf;
  #hasDraft;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #current = "";

  /**
   * @param {object} options What is counted next to a room.
   * @param {(roomId: string) => number} options.unreadOf Returns the number of its unread messages.
   * @param {(roomId: string) => number} options.unsentOf Returns the number of its unsent messages.
   * @param {(roomId: string) => boolean} options.hasDraft Tests whether a message was begun in it.
   */
  constructor({ unreadOf, unsentOf, hasDraft }) {
    this.#unreadOf = unreadOf;
    this.#unsentOf = unsentOf;
    this.#hasDraft = hasDraft;
    this.#list.replaceChildren();
    this.#filter.value = "";
    this.#filter.oninput = () => this.#applyFilter();
    this.#list.onkeydown = (event) => this.#walk(event);
  }

  /** @returns {number} The number of unread messages in all rooms. */
  get unread() {
    return [...this.#rows.keys()].reduce((sum, id) => sum + this.#unreadOf(id), 0);
  }

  /** @param {string} roomId A room. @returns {string | undefined} Its name, if it is known. */
  nameOf(roomId) {
    return this.#rows.get(roomId)?.room.roomName;
  }

  /** @param {Summary[]} rooms All rooms. */
  replace(rooms) {
    this.#rows = new Map(rooms.map((room) => [room.roomId, newRow(room)]));
    const inOrder = [...this.#rows.values()].sort((one, other) => order(one.room, other.room));
    this.#list.replaceChildren(...inOrder.map(({ row }) => row));
    this.refreshAll();
    this.#applyFilter();
  }

  /** @param {Summary} room A new room. */
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

  /** @param {string} roomId A room that was deleted. */
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

  /** @param {string} roomId A room whose counts have changed. */
  refresh(roomId) {
    const known = this.#rows.get(roomId);
    if (!known) {
      return;
    }
    const { room, link } = known;
    const unread = this.#unreadOf(roomId);
    const unsent = this.#unsentOf(roomId);
    const hasDraft = this.#hasDraft(roomId);
    const notes = [
      unread && counted(unread, "unread message"),
      unsent && `${unsent} not sent`,
      hasDraft && "draft",
    ].filter(Boolean);
    link.classList.toggle("unread", unread > 0);
    if (roomId === this.#current) {
      link.setAttribute("aria-current", "page");
    } else {
      link.removeAttribute("aria-current");
    }
    link.setAttribute("aria-label", [room.roomName, ...notes].join(", "));
    link.replaceChildren(element("bdi.name", {}, room.roomName));
    if (hasDraft) {
      link.append(element("span.draft", {}, "Draft"));
    }
    if (unsent) {
      link.append(element("span.badge.unsent", { title: `${unsent} not sent` }, "!"));
    }
    if (unread) {
      link.append(element("span.badge", {}, unread > MOST_SHOWN ? `${MOST_SHOWN}+` : `${unread}`));
    }
  }

  /** Show the counts of every room again. */
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

  /** @param {KeyboardEvent} event The arrow keys go from room to room. */
  #walk(event) {
    const step = Number(event.key === "ArrowDown") - Number(event.key === "ArrowUp");
    if (step) {
      const links = [
        .../** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll("li:not([hidden]) a")),
      ];
      links[links.indexOf(/** @type {HTMLElement} */ (event.target)) + step]?.focus();
      event.preventDefault();
    }
  }
}

/** @param {Summary} room A room. @returns {Row} Its row. */
function newRow(room) {
  const link = element("a", { href: `#${room.roomId}`, title: room.roomName });
  return { room, link, row: element("li", {}, link) };
}

const order = (/** @type {Summary} */ one, /** @type {Summary} */ other) =>
  Number(other.roomId === "lobby") - Number(one.roomId === "lobby") ||
  one.roomName.localeCompare(other.roomName);
