import { Rejected } from "./errors.js";
import { Login } from "./login.js";
import { randomId } from "./platform.js";
import { Sender } from "./sender.js";
import { Transport } from "./transport.js";

/** @import { State } from "./connection.js" */
/** @import { Token } from "./login.js" */

/**
 * An event in a room.
 *
 * @typedef {object} RoomEvent
 * @property {string} id Its position in the log, as text.
 * @property {number} seq The same as a number.
 * @property {string} roomId The room.
 * @property {string} memberId The member; every connection is a member of its own.
 * @property {string} memberName The member's name.
 * @property {string} userId The user: the same for all connections of one login, and for no other.
 * @property {"chat" | "joined" | "left"} type The kind of event.
 * @property {string} message The text, for `chat`.
 * @property {string} sent When, in ISO 8601.
 * @property {boolean} [self] Set on the first event of each connection: this page's own `joined`.
 */

/** A room of chat: receives its events, in order, each once, and sends messages. */
export class Room extends Sender {
  /** @type {number | undefined} */
  #position;
  #onEvents;
  /** @type {RoomEvent[]} */
  #arrived = [];

  /**
   * @param {string} url The chat service, `wss://HOST:PORT`.
   * @param {string} id The id of the room.
   * @param {object} options
   * @param {Token} [options.token] The token; not needed where guests are allowed.
   * @param {number} [options.after] Begin after this position, instead of with new events.
   * @param {(events: RoomEvent[]) => void} options.onEvents Called with the events that come together, in the
   *   order of the log.
   * @param {(state: State) => void} [options.onState] Called when the state of the connection changes. The `code`
   *   of a closed one tells why: `CloseCode.ROOM_DELETED`, `CloseCode.LOGGED_OUT`, …
   */
  constructor(url, id, { token = "", after, onEvents, onState }) {
    const transport = new Transport(url, new Login(token), {
      path: `/api/serve/${encodeURIComponent(id)}`,
      protocol: "fanline.chat.v1",
      parameters: () => this.#resume(),
    });
    const options = {
      ...transport.linkOptions,
      onFrame: (/** @type {any} */ frame) => this.#receive(frame),
      onBatchEnd: () => this.#handOver(),
      probe: () => ({ probe: true }), // it is refused, and so answered
    };
    super(options, onState);
    this.#position = after;
    this.#onEvents = onEvents;
  }

  /**
   * Say something in the room.
   *
   * @param {string} message The text.
   * @param {object} [options]
   * @param {string} [options.id] Its id; made up if absent. A message that is said again with the same id and the
   *   same token within ten minutes, also after a reload of the page, is said once.
   * @returns {Promise<{id: string, seq: number}>} Resolved when it is stored, through any number of reconnects.
   *   Rejected with `Rejected` if it is refused or could not be stored (with code `failed`: try again, with the same
   *   id), with `Closed` if the room is left or deleted before.
   */
  say(message, { id = randomId() } = {}) {
    return this._post(id, { message, id });
  }

  /** @returns {Record<string, string>} What to ask for on the next connection. */
  #resume() {
    return this.#position === undefined ? {} : { after: String(this.#position) };
  }

  /** @param {any} frame An event or an answer. */
  #receive(frame) {
    if (frame.ok !== undefined) {
      this._outbox.acknowledge(frame.ok, { id: frame.ok, seq: frame.seq });
    } else if (frame.error !== undefined || frame.type === "failed") {
      this._outbox.reject(frame.id, new Rejected(frame.error ?? "failed", frame.reason, frame.id));
    } else if (frame.self) {
      this.#position ??= frame.seq;
      this.#arrived.push(frame);
      this._ready();
    } else if (this.#position !== undefined && frame.seq > this.#position) {
      this.#position = frame.seq;
      this.#arrived.push(frame);
    }
  }

  #handOver() {
    const events = this.#arrived;
    this.#arrived = [];
    this._flush();
    if (events.length) {
      this.#onEvents(events);
    }
  }
}
