import { Rejected } from "./errors.js";
import { present } from "./json.js";
import { Login } from "./login.js";
import { randomId } from "./platform.js";
import { Sender } from "./sender.js";
import { checkedTopic } from "./topics.js";

/** @import { State } from "./connection.js" */
/** @import { Token } from "./login.js" */

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
   * @param {object} options
   * @param {Token} options.token The token.
   * @param {(state: State) => void} [options.onState] Called when the state of the connection changes.
   */
  constructor(url, { token, onState }) {
    const options = {
      ...new Login(token).linkOptions(`${url}/publish`, "fanline.v1"),
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
   * @param {object} [options]
   * @param {string} [options.id] Its id; made up if absent. A message that is sent again with the same id within
   *   ten minutes is not stored again.
   * @returns {Promise<Ack>} Resolved when the message is on disk, through any number of reconnects.
   *   Rejected with `Rejected` if the message is refused, with `Closed` if the publisher is closed before.
   */
  publish(topic, content, { id = `${this.#prefix}-${++this.#count}` } = {}) {
    try {
      return this._post(id, { topic: checkedTopic(topic), content: present(content, id), id });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @param {any} frame An answer. */
  #receive({ ok, seq, duplicate = false, error, reason, id }) {
    if (ok !== undefined) {
      this._outbox.acknowledge(ok, { id: ok, seq, duplicate });
    } else if (error === "queue-unavailable") {
      this._link.reset(reason); // everything without an answer is sent again, in order
    } else if (error !== undefined) {
      this._outbox.reject(id, new Rejected(error, reason, id));
    }
  }
}
