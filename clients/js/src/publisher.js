import { Rejected } from "./errors.js";
import { PostSocket } from "./fallback.js";
import { present } from "./json.js";
import { randomId } from "./platform.js";
import { Sender } from "./sender.js";
import { checkedTopic } from "./topics.js";
import { Transport } from "./transport.js";

/** @import { State } from "./connection.js" */
/** @import { Login } from "./login.js" */
/** @import { Environment } from "./connect.js" */

/**
 * The answer to a published message.
 *
 * @typedef {object} Ack
 * @property {string} id The id of the message.
 * @property {number} seq Its position in the log.
 * @property {boolean} duplicate Whether it was stored before.
 */

/** Publishes messages. Each is stored, and stored once, in the order of the calls. */
export class Publisher extends Sender {
  #prefix = randomId();
  #count = 0;

  /**
   * @param {string} url The publisher service, `wss://HOST:PORT`.
   * @param {Login} login The token.
   * @param {Environment} environment What it runs in.
   * @param {(state: State) => void} onState Called when the state of the connection changes.
   */
  constructor(url, login, environment, onState) {
    const transport = new Transport(url, login, {
      path: "/publish",
      protocol: "fanline.v1",
      openOverHttp: (http, path) => new PostSocket(http, path),
      ...environment,
    });
    const options = {
      ...transport.linkOptions,
      onOpen: () => this._ready(),
      onFrame: (/** @type {any} */ frame) => this.#receive(frame),
      onBatchEnd: () => this._flush(),
      probe: () => !this._outbox.isEmpty,
    };
    super(options, onState);
  }

  /**
   * Publish one message.
   *
   * @param {string} topic Where.
   * @param {any} content Anything that can be written as JSON.
   * @param {object} options
   * @param {string} [options.id] Its id; made up if absent.
   * @param {AbortSignal} [options.signal] Takes it back.
   * @param {string} [options.traceparent] The trace that it belongs to.
   * @returns {Promise<Ack>} Resolved when the message is on disk.
   */
  async publish(topic, content, { id = `${this.#prefix}-${++this.#count}`, signal, traceparent }) {
    signal?.throwIfAborted();
    const message = { topic: checkedTopic(topic), content: present(content, id), id, traceparent };
    const answer = this._post(id, message);
    const withdraw = () => this.withdraw(id, signal?.reason);
    signal?.addEventListener("abort", withdraw);
    try {
      return await answer;
    } finally {
      signal?.removeEventListener("abort", withdraw);
    }
  }

  /** @param {any} frame An answer. */
  #receive({ ok, seq, duplicate = false, error, reason, id, retry_ms: delay }) {
    if (ok !== undefined) {
      this._outbox.acknowledge(ok, { id: ok, seq, duplicate });
    } else if (error === "queue-unavailable" || error === "rate-limited") {
      this._link.reset(reason, delay); // everything without an answer is sent again, in order
    } else if (error !== undefined) {
      this._outbox.reject(id, new Rejected(error, reason, id));
    }
  }
}
