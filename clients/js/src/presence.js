import { Emitter } from "./events.js";

/** @import { Subscription } from "./subscription.js" */

/**
 * A session with which a user is present.
 *
 * @typedef {object} Present
 * @property {string} user The user.
 * @property {string} as The name of the session.
 */

/**
 * What happens on a topic.
 *
 * @typedef {object} PresenceEvents
 * @property {Present} join The first session of a user has begun.
 * @property {Present} add A further session of a user has begun.
 * @property {Present} remove One of several sessions of a user has ended.
 * @property {Present} leave The last session of a user has ended.
 * @property {Error} error It is over: it was refused, or the connection is not opened again.
 */

/**
 * Who is present on a topic. It begins with the sessions that are there, each as an event, and goes on through
 * reconnects. When events are missing, it begins again without any.
 *
 * @extends {Emitter<PresenceEvents>}
 */
export class Presence extends Emitter {
  /** @type {Map<string, Set<string>>} The users who are present, each with the names of the sessions. */
  users = new Map();
  #subscribe;
  /** @type {Subscription} */
  #subscription;

  /** @param {(options: {latest: true}) => Subscription} subscribe Subscribes to the events of the topic. */
  constructor(subscribe) {
    super();
    this.#subscribe = subscribe;
    this.#subscription = this.#begin();
  }

  /**
   * @override
   * @template {keyof PresenceEvents} Type
   * @param {Type} type `join`, `add`, `remove`, `leave` or `error`.
   * @param {(value: PresenceEvents[Type]) => void} listener Called at each.
   * @returns {() => void} Ends this.
   */
  on(type, listener) {
    return super.on(type, listener);
  }

  /** End this. */
  close() {
    this.#subscription.close();
  }

  #begin() {
    const subscription = this.#subscribe({ latest: true });
    subscription.on("gap", () => {
      subscription.close();
      this.users.clear();
      this.#subscription = this.#begin();
    });
    subscription.on("error", (error) => this.#fail(error));
    subscription.on("message", ({ type, from = "", content }) => {
      if (type === "join") {
        this.#join(from, content.as);
      } else {
        this.#leave(from, content.as);
      }
    });
    return subscription;
  }

  /** @param {Error} error Why it is over. */
  #fail(error) {
    if (this._hasListener("error")) {
      this._emit("error", error);
    } else {
      console.error(error);
    }
  }

  /** @param {string} user @param {string} as */
  #join(user, as) {
    const sessions = this.users.get(user) ?? new Set();
    if (!sessions.has(as)) {
      this.users.set(user, sessions.add(as));
      this._emit(sessions.size === 1 ? "join" : "add", { user, as });
    }
  }

  /** @param {string} user @param {string} as */
  #leave(user, as) {
    const sessions = this.users.get(user);
    if (sessions?.delete(as)) {
      if (sessions.size === 0) {
        this.users.delete(user);
      }
      this._emit(sessions.size === 0 ? "leave" : "remove", { user, as });
    }
  }
}
