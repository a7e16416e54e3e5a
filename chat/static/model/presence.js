/**
 * The members of a room. No DOM.
 *
 * Every connection is a member of its own, so a user with two tabs is there twice: what counts is the user.
 *
 * @module
 */

/** @import { RoomEvent } from "../fanline.js" */

/** @typedef {{id: string, name: string, userId: string}} Member */
/** @typedef {{name: string, userId: string, count: number}} Group A user, and the number of their connections. */

const collator = new Intl.Collator();

/** The members of a room, by user. */
export class Members {
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {Map<string, Group>} */
  #groups = new Map();

  /** @returns {number} The number of users. */
  get count() {
    return this.#groups.size;
  }

  /** @returns {Group[]} Users in the order of their names. */
  get groups() {
    return [...this.#groups.values()].sort((one, other) => collator.compare(one.name, other.name));
  }

  /** @param {Member[]} members All members. */
  replace(members) {
    this.#members.clear();
    this.#groups.clear();
    for (const member of members) {
      this.#add(member);
    }
  }

  /** @param {Pick<RoomEvent, "type" | "memberId" | "memberName" | "userId">} event A coming or going. */
  apply({ type, memberId: id, memberName: name, userId }) {
    this.#remove(id);
    if (type === "joined") {
      this.#add({ id, name, userId });
    }
  }

  /** @param {Member} member A new member. */
  #add(member) {
    const { name, userId } = member;
    this.#members.set(member.id, member);
    const group = this.#groups.get(userId) ?? { name, userId, count: 0 };
    group.count++;
    this.#groups.set(userId, group);
  }

  /** @param {string} id The id of a member, who may be unknown. */
  #remove(id) {
    const userId = this.#members.get(id)?.userId ?? "";
    const group = this.#groups.get(userId);
    if (this.#members.delete(id) && group && --group.count === 0) {
      this.#groups.delete(userId);
    }
  }
}
