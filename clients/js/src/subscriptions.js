import { report } from "./platform.js";
import { matches } from "./topics.js";

/**
 * A message from the log.
 *
 * @typedef {object} Message
 * @property {string} topic Where it was published.
 * @property {any} content What was published.
 * @property {number} seq Its position in the log.
 * @property {number} time When it was stored, in Unix milliseconds.
 * @property {string} [id] The id that its publisher gave it.
 * @property {string} [from] The user who published it.
 */

/** @typedef {{sub: string, after?: number, last?: number}} SubscribeRequest */

/**
 * @typedef {object} Subscription
 * @property {SubscribeRequest | null} request What was asked for; null once it was answered.
 * @property {number | null} position The position to resume after; null if unknown.
 * @property {boolean} isLive Whether it was confirmed on this connection.
 * @property {(message: Message) => void} onMessage
 */

/** Subscriptions and their positions: all that is needed to resume. No I/O. */
export class SubscriptionState {
  /** @type {Map<string, Subscription>} */
  #subscriptions = new Map();
  /** @type {Map<string, number>} */
  #removing = new Map();

  /** @returns {string[]} The patterns, in the order of the subscriptions. */
  get patterns() {
    return [...this.#subscriptions.keys()];
  }

  /** @param {string} pattern A pattern. */
  has(pattern) {
    return this.#subscriptions.has(pattern);
  }

  /**
   * Add a subscription that is not answered yet.
   *
   * @param {SubscribeRequest} request What is asked for.
   * @param {(message: Message) => void} onMessage Called with each message.
   */
  add(request, onMessage) {
    this.#subscriptions.set(request.sub, { request, position: null, isLive: false, onMessage });
  }

  /**
   * Remove a subscription.
   *
   * @param {string} pattern Its pattern.
   * @param {boolean} [isAnswered] Whether the server will confirm it; until then its answers concern this one.
   */
  remove(pattern, isAnswered = false) {
    if (this.#subscriptions.delete(pattern) && isAnswered) {
      this.#removing.set(pattern, (this.#removing.get(pattern) ?? 0) + 1);
    }
  }

  /** @param {string} pattern The pattern of a subscription that the server has removed. */
  confirmRemoval(pattern) {
    const count = (this.#removing.get(pattern) ?? 0) - 1;
    if (count > 0) {
      this.#removing.set(pattern, count);
    } else {
      this.#removing.delete(pattern);
    }
  }

  /** @param {string} pattern A pattern. @returns {boolean} Whether the server has yet to confirm its removal. */
  isRemoving(pattern) {
    return this.#removing.has(pattern);
  }

  /**
   * Confirm a subscription.
   *
   * @param {string} pattern Its pattern.
   * @param {number | null} seq The position that messages come after.
   * @returns {boolean} Whether messages may have been missed since the last connection.
   */
  confirm(pattern, seq) {
    const subscription = this.#subscriptions.get(pattern);
    if (!subscription || subscription.isLive) {
      return false;
    }
    const mayMiss = subscription.request === null && subscription.position === null;
    Object.assign(subscription, { request: null, position: seq, isLive: true });
    return mayMiss;
  }

  /**
   * Remove a refused subscription, unless it was confirmed before on this connection.
   *
   * @param {string} pattern Its pattern.
   */
  refuse(pattern) {
    if (!this.#subscriptions.get(pattern)?.isLive) {
      this.remove(pattern);
    }
  }

  /**
   * Advance past removed messages. Not where the pattern has wildcards: some of its topics may remain.
   *
   * @param {string} pattern The pattern.
   * @param {number} seq The last removed position.
   */
  skip(pattern, seq) {
    const subscription = this.#subscriptions.get(pattern);
    if (subscription && subscription.position !== null && !/(^|\.)[*>](\.|$)/.test(pattern)) {
      subscription.position = Math.max(subscription.position, seq);
    }
  }

  /**
   * Give a message to each subscription that it is new to.
   *
   * @param {Message} message The message.
   */
  deliver(message) {
    for (const [pattern, subscription] of [...this.#subscriptions]) {
      const { position, isLive } = subscription;
      if (isLive && (position === null || message.seq > position) && matches(pattern, message.topic)) {
        if (position !== null) {
          subscription.position = message.seq;
        }
        handOver(message, subscription.onMessage);
      }
    }
  }

  /**
   * Mark every subscription as not confirmed, for a new connection.
   *
   * @returns {SubscribeRequest[]} What to ask for on it.
   */
  resume() {
    this.#removing.clear();
    return [...this.#subscriptions].map(([sub, subscription]) => {
      subscription.isLive = false;
      const { request, position } = subscription;
      return request ?? (position === null ? { sub } : { sub, after: position });
    });
  }
}

/** @param {Message} message @param {(message: Message) => void} onMessage Its mistakes concern no other one. */
function handOver(message, onMessage) {
  try {
    onMessage(message);
  } catch (error) {
    report(error);
  }
}
