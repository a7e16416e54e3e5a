/**
 * The list of those who have the room open.
 *
 * @module
 */

import { Members } from "../model/presence.js";
import { counted } from "../model/text.js";
import { arrange, avatar, byId, element, oncePerFrame, write } from "./dom.js";

/** @import { Api } from "../model/api.js" */
/** @import { Group } from "../model/presence.js" */
/** @import { RoomEvent } from "../fanline.js" */

const MOST_SHOWN = 100;

/** Shows the members of one room, the user first. */
export class MemberList {
  #id;
  #api;
  #userId;
  #members = new Members();
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {RoomEvent[]} */
  #moves = [];
  #drawSoon;

  /**
   * @param {string} id The id of the room.
   * @param {Api} api Loads the members.
   * @param {string} userId The user.
   * @param {AbortSignal} signal Ends it.
   */
  constructor(id, api, userId, signal) {
    this.#id = id;
    this.#api = api;
    this.#userId = userId;
    this.#drawSoon = oncePerFrame(() => this.#draw(), signal);
    this.#draw();
  }

  /** @param {RoomEvent} event A coming or going. */
  apply(event) {
    this.#moves.push(event);
    this.#members.apply(event);
    this.#drawSoon();
  }

  /** Load all members, for a new connection. */
  async load() {
    /** @type {RoomEvent[]} */
    const moves = [];
    this.#moves = moves;
    const room = await this.#api.room(this.#id).catch(() => null);
    if (room && moves === this.#moves) {
      this.#members.replace(room.members);
      for (const event of moves.filter(({ seq }) => seq > room.seq)) {
        this.#members.apply(event);
      }
      this.#moves = [];
      this.#drawSoon();
    }
  }

  #draw() {
    const { groups, count } = this.#members;
    const isOwn = (/** @type {Group} */ { userId }) => userId === this.#userId;
    const inOrder = [...groups.filter(isOwn), ...groups.filter((group) => !isOwn(group))];
    /** @type {Map<string, HTMLElement>} */
    const rows = new Map();
    for (const group of inOrder.slice(0, MOST_SHOWN)) {
      const key = `${group.count} ${group.userId}`;
      rows.set(key, this.#rows.get(key) ?? memberRow(group, isOwn(group)));
    }
    this.#rows = rows;
    arrange(byId("members"), [...rows.values()]);
    byId("more-members").hidden = count <= MOST_SHOWN;
    write("more-members", `and ${counted(count - MOST_SHOWN, "other")}`);
    write("member-count", `${count}`);
    write("members-title", `In this room: ${count}`);
    byId("show-members").setAttribute("aria-label", `Members: ${count}`);
  }
}

/** @param {Group} group @param {boolean} isOwn */
function memberRow({ name, count }, isOwn) {
  const label = element("span.name", {}, element("bdi", {}, name));
  const row = element("li", { title: name }, avatar(name), label);
  if (isOwn) {
    row.append(element("span.note", {}, "you"));
  } else if (count > 1) {
    row.append(element("span.note", { title: `connected ${count} times` }, `×${count}`));
  }
  return row;
}
