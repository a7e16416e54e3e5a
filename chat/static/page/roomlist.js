/**
 * The list of rooms, with the open one marked and the unread ones counted.
 *
 * @module
 */

import { makeFound } from "../model/sentences.js";
import { counted } from "../model/text.js";
import { byId, element } from "./dom.js";

const FILTER_FROM = 8; // rooms from which on there is a field to find one
const MOST_SHOWN = 99;

/**
 * @typedef {object} Summary A room.
 * @property {string} roomId
 * @property {string} roomName
 * @property {number} members
 * @property {number} messages
 * @property {number} seq
 * @property {string} creatorId The user who made it; empty if unknown.
 */

/** @typedef {{unread: number, unsent: number, hasDraft: boolean}} Marks What is shown next to a room. */
/** @typedef {{room: Summary, row: HTMLElement, link: HTMLElement}} Row */

const collator = new Intl.Collator();

/** Rooms as links, the lobby first, the others by name. One of them is in the order of Tab; arrows go on from it. */
export class RoomList {
  #list = byId("rooms");
  #filter = byId("filter");
  #marksOf;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #current = "";
  /** @type {Set<string>} */
  #stale = new Set();
  /** @type {HTMLElement | undefined} */
  #stop;

  /**
   * @param {(roomId: string) => Marks} marksOf Returns what is shown next to a room.
   * @param {(name: string) => void} onMake Called with the name of a room that was looked for and is not there.
   */
  constructor(marksOf, onMake) {
    this.#marksOf = marksOf;
    this.#list.replaceChildren();
    this.#filter.value = "";
    this.#filter.oninput = () => this.#applyFilter();
    this.#filter.onkeydown = (event) => this.#enter(event);
    this.#list.onkeydown = (event) => this.#walk(event);
    byId("make-found").onclick = () => {
      onMake(this.#filter.value.trim());
      this.#filter.value = "";
      this.#applyFilter();
    };
  }

  /** @param {string} roomId A room. @returns {Summary | undefined} What is known of it. */
  find(roomId) {
    return this.#rows.get(roomId)?.room;
  }

  /** @param {Summary[]} rooms All rooms. */
  replace(rooms) {
    this.#rows = new Map(rooms.map((room) => [room.roomId, newRow(room)]));
    const inOrder = [...this.#rows.values()].sort((one, other) => order(one.room, other.room));
    this.#list.replaceChildren(...inOrder.map(({ row }) => row));
    this.refreshAll();
    this.draw();
    this.#applyFilter();
  }

  /** @param {Summary} room A new room. */
  add(room) {
    this.#rows.get(room.roomId)?.row.remove();
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
    this.refresh(this.#current);
    this.refresh(roomId);
    this.#current = roomId;
    this.draw();
    if (this.#rows.get(roomId)?.row.hidden) {
      this.#filter.value = ""; // it is not one of those that were looked for
    }
    this.#applyFilter();
    this.#rows.get(roomId)?.row.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} roomId A room whose counts have changed; shown by `draw`. */
  refresh(roomId) {
    this.#stale.add(roomId);
  }

  /** Show the counts of every room again, by `draw`. */
  refreshAll() {
    for (const roomId of this.#rows.keys()) {
      this.refresh(roomId);
    }
  }

  /** Show what has changed. */
  draw() {
    for (const roomId of this.#stale) {
      this.#drawRow(roomId);
    }
    this.#stale.clear();
  }

  /** @param {string} roomId A room. */
  #drawRow(roomId) {
    const known = this.#rows.get(roomId);
    if (!known) {
      return;
    }
    const { room, link } = known;
    const { unread, unsent, hasDraft } = this.#marksOf(roomId);
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
    link.replaceChildren(element("span.name", {}, element("bdi", {}, room.roomName)));
    if (hasDraft) {
      link.append(element("span.draft", {}, "Draft"));
    }
    if (unsent) {
      link.append(element("span.badge.unsent", { title: `${unsent} not sent` }, "!"));
    }
    if (unread) {
      link.append(element("span.badge", {}, shortened(unread)));
    }
  }

  #applyFilter() {
    this.#filter.hidden = this.#rows.size < FILTER_FROM;
    const name = this.#filter.hidden ? "" : this.#filter.value.trim();
    const wanted = name.toLocaleLowerCase();
    let found = 0;
    for (const { room, row } of this.#rows.values()) {
      row.hidden = !room.roomName.toLocaleLowerCase().includes(wanted);
      found += Number(!row.hidden);
    }
    byId("make-found").hidden = found > 0 || name === "";
    byId("make-found").textContent = makeFound(name);
    this.#moveStop();
  }

  /** @returns {HTMLElement[]} The links that are shown, in order. */
  get #links() {
    return [.../** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll("li:not([hidden]) a"))];
  }

  /** Let Tab lead to one link: the given one, or that of the open room, or the first. */
  #moveStop(/** @type {HTMLElement | undefined} */ link = undefined) {
    const current = this.#rows.get(this.#current);
    const stop = link ?? (current && !current.row.hidden ? current.link : this.#links[0]);
    this.#stop?.setAttribute("tabindex", "-1");
    stop?.setAttribute("tabindex", "0");
    this.#stop = stop;
  }

  /** @param {KeyboardEvent} event From the field to find a room: Enter opens the first one, ↓ goes to it. */
  #enter(event) {
    const [first] = this.#links;
    if (event.key === "ArrowDown" && first) {
      event.preventDefault();
      this.#focus(first);
    } else if (event.key === "Enter") {
      event.preventDefault();
      (first ?? byId("make-found")).click();
    }
  }

  /** @param {KeyboardEvent} event The arrow keys go from room to room. */
  #walk(event) {
    const links = this.#links;
    const at = links.indexOf(/** @type {HTMLElement} */ (event.target));
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (next === -1 && !this.#filter.hidden) {
      this.#filter.focus();
    } else if (next !== undefined && links[next]) {
      this.#focus(links[next]);
    }
    if (next !== undefined) {
      event.preventDefault();
    }
  }

  /** @param {HTMLElement} link A room's link. */
  #focus(link) {
    this.#moveStop(link);
    link.focus();
  }
}

/** @param {number} count @returns {string} The number, at most "99+". */
export const shortened = (count) => (count > MOST_SHOWN ? `${MOST_SHOWN}+` : `${count}`);

/** @param {Summary} room A room. @returns {Row} Its row. */
function newRow(room) {
  const href = `#${encodeURIComponent(room.roomId)}`;
  const link = element("a", { href, title: room.roomName, tabindex: -1 });
  return { room, link, row: element("li", {}, link) };
}

const order = (/** @type {Summary} */ one, /** @type {Summary} */ other) =>
  Number(other.roomId === "lobby") - Number(one.roomId === "lobby") ||
  collator.compare(one.roomName, other.roomName);
