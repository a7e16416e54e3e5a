import { matches } from "./topics.js";

/**
 * A message from the log.
 *
 * @template [T=any]
 * @typedef {object} Message
 * @property {string} topic Where it was published.
 * @property {T} content What was published.
 * @property {number} seq Its position in the log.
 * @property {number} time When it was stored, in Unix milliseconds.
 * @property {string} [id] The id that its publisher gave it.
 * @property {string} [from] The user who published it.
 * @property {string} [type] Of presence, `join` or `leave`.
 * @property {string} [traceparent] The trace that it belongs to.
 */

/**
 * Messages that do not come.
 *
 * @typedef {object} Gap
 * @property {string} pattern The subscription that misses them.
 * @property {number} [from] The first missing position; absent if unknown.
 * @property {number} [to] The last one.
 * @property {boolean} [isNewLog] Whether the log is another one, such as a restored copy: positions start again, and
 *   all of its messages follow.
 */

/**
 * Where to begin; by default with new messages.
 *
 * @typedef {object} Start
 * @property {number} [after] Begin after this position; 0 for the whole log.
 * @property {string} [epoch] The log that this position is of.
 * @property {number} [last] Begin with this many of the newest messages.
 * @property {boolean} [latest] Begin with the newest message of each topic.
 */

/**
 * Whether the user is present on the topic.
 *
 * @typedef {object} Session
 * @property {boolean} [presence] Be present, as long as the page has subscriptions to the topic.
 * @property {string} [as] The name to be present under; by default one that the client makes up.
 */

/** @typedef {{sub: string} & Start & Session | {unsub: string}} Command */

/**
 * One subscription of the page: where it begins, how far it is, and what is told about it.
 *
 * @typedef {object} Cursor
 * @property {Start | null} start What is asked for; null once it was answered.
 * @property {number | null} position The position to resume after; null if unknown.
 * @property {string} [epoch] The log that the position is of.
 * @property {(seq: number) => void} onReady
 * @property {(message: Message) => void} onMessage
 * @property {(gap: Gap) => void} onGap
 * @property {(error: Error) => void} onRefused
 */

/**
 * A pattern on the connection, and the subscriptions that share it.
 *
 * @typedef {object} Channel
 * @property {string} pattern
 * @property {Cursor[]} cursors
 * @property {{start: Start, cursors: Cursor[]} | null} asked A request without an answer, and the subscriptions that
 *   begin with it; none if it resumes those that were answered before.
 * @property {boolean} isOnWire Whether the server has it, or was asked for it.
 * @property {number | null} from The position after which everything comes on this connection.
 * @property {boolean} isResuming Whether it was not answered on this connection yet.
 * @property {boolean} hasLatest Whether it began with the newest values.
 * @property {Session} session Whether the user is present there.
 */

/**
 * Subscriptions and their positions: all that is needed to resume. No I/O; the methods return what to send.
 *
 * A server keeps one subscription for each pattern. A further one of the page that begins elsewhere takes it over, and
 * then it goes back to where the others were: what comes again is left out, for each by its own position.
 */
export class SubscriptionState {
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** @type {Map<string, number>} */
  #removing = new Map();

  /** @returns {string | undefined} A pattern that the server has. */
  get somePattern() {
    return [...this.#channels.values()].find(({ isOnWire }) => isOnWire)?.pattern;
  }

  /** @returns {Cursor[]} All subscriptions. */
  get cursors() {
    return [...this.#channels.values()].flatMap(({ cursors }) => cursors);
  }

  /**
   * Test whether a subscription can be added. One to the newest values shares no pattern with another, unless they
   * begin together: of the messages before its beginning only some come.
   *
   * @param {string} pattern Its pattern.
   * @param {Start} start Where it begins.
   */
  accepts(pattern, start) {
    const channel = this.#channels.get(pattern);
    if (!channel || (channel.asked?.cursors.length && isSame(channel.asked.start, start))) {
      return true;
    }
    return !start.latest && !channel.hasLatest;
  }

  /**
   * Add a subscription that is not answered yet.
   *
   * @param {string} pattern Its pattern.
   * @param {Cursor} cursor The subscription.
   * @param {Session} [session] Whether the user is to be present.
   * @returns {Command[]}
   */
  add(pattern, cursor, session = {}) {
    const known = this.#channels.get(pattern);
    if (known) {
      const isNew = session.presence && session.as !== known.session.as;
      Object.assign(known.session, session);
      known.cursors.push(cursor);
      const { asked } = known;
      if (asked && asked.cursors.length > 0 && isSame(asked.start, cursor.start)) {
        asked.cursors.push(cursor); // the answer is for this one too
      }
      const commands = this.#next(known);
      return isNew && commands.length === 0 ? [{ sub: pattern, ...session }] : commands;
    }
    /** @type {Channel} */
    const channel = {
      pattern,
      cursors: [cursor],
      asked: null,
      isOnWire: false,
      from: null,
      isResuming: false,
      hasLatest: cursor.start?.latest ?? false,
      session: { ...session },
    };
    this.#channels.set(pattern, channel);
    return this.#next(channel);
  }

  /**
   * Remove a subscription.
   *
   * @param {string} pattern Its pattern.
   * @param {Cursor} cursor The subscription.
   * @returns {Command[]}
   */
  remove(pattern, cursor) {
    const channel = this.#channels.get(pattern);
    if (!channel) {
      return [];
    }
    channel.cursors = channel.cursors.filter((each) => each !== cursor);
    if (channel.cursors.length > 0) {
      return [];
    }
    this.#channels.delete(pattern);
    return channel.isOnWire ? [this.#unsubscribe(pattern)] : [];
  }

  /**
   * Take a confirmation.
   *
   * @param {{subscribed: string, seq?: number, epoch?: string, gap?: {from: number, to: number}}} frame
   * @returns {Command[]}
   */
  confirm({ subscribed: pattern, seq, epoch, gap }) {
    const channel = this.#channels.get(pattern);
    if (!channel?.asked || this.#removing.has(pattern)) {
      return []; // it answers a request of before, or a probe
    }
    const { asked, isResuming } = channel;
    Object.assign(channel, { asked: null, from: seq ?? null, isResuming: false });
    for (const cursor of [...channel.cursors]) {
      const isNew = asked.cursors.includes(cursor);
      if (isNew) {
        Object.assign(cursor, { epoch: asked.start.epoch, position: seq ?? null });
      }
      if (isNew || cursor.start === null) {
        this.#continue(channel, cursor, { epoch, gap, isBlind: isResuming && !isNew });
      }
      if (isNew) {
        cursor.start = null;
        cursor.onReady(seq ?? 0);
      }
    }
    return this.#next(channel);
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

  /**
   * End the subscriptions that a refusal concerns.
   *
   * @param {string} pattern Their pattern.
   * @param {Error} error Why.
   * @returns {Command[]}
   */
  refuse(pattern, error) {
    const channel = this.#channels.get(pattern);
    if (!channel || this.#removing.has(pattern)) {
      return [];
    }
    const { asked, cursors } = channel;
    const refused = asked?.cursors.length
      ? asked.cursors
      : cursors.filter(({ start }) => !asked || start === null);
    channel.cursors = cursors.filter((each) => !refused.includes(each));
    Object.assign(channel, { asked: null, isOnWire: false });
    if (channel.cursors.length === 0) {
      this.#channels.delete(pattern);
    }
    for (const cursor of refused) {
      cursor.onRefused(error);
    }
    return channel.cursors.length > 0 ? this.#next(channel) : [];
  }

  /**
   * Tell of messages that were removed before they came.
   *
   * @param {{from: number, to: number, topic?: string, isOfOldLog?: boolean}} gap The positions, and the pattern if it
   *   concerns only one.
   */
  miss({ from, to, topic, isOfOldLog }) {
    for (const { pattern, cursors } of this.#channels.values()) {
      for (const cursor of topic === undefined || topic === pattern ? [...cursors] : []) {
        if (cursor.start === null && !isOfOldLog && (cursor.position ?? 0) < to) {
          missed(pattern, cursor, { from, to });
        }
      }
    }
  }

  /**
   * Give a message to each subscription that it is new to.
   *
   * @param {Message} message The message.
   */
  deliver(message) {
    for (const { pattern, cursors, asked, from } of [...this.#channels.values()]) {
      if (asked || !matches(pattern, message.topic)) {
        continue;
      }
      for (const cursor of [...cursors]) {
        const { start, position } = cursor;
        if (start === null && (position === null || (position >= (from ?? 0) && message.seq > position))) {
          cursor.position = position === null ? null : message.seq;
          cursor.onMessage(message);
        }
      }
    }
  }

  /**
   * Begin a new connection, on which the server has no subscription yet.
   *
   * @returns {Command[]}
   */
  resume() {
    this.#removing.clear();
    return [...this.#channels.values()].flatMap((channel) => {
      Object.assign(channel, { asked: null, isOnWire: false, isResuming: true });
      return this.#next(channel);
    });
  }

  /**
   * @param {Channel} channel @param {Cursor} cursor An answered subscription.
   * @param {{epoch?: string, gap?: {from: number, to: number}, isBlind: boolean}} answer
   */
  #continue({ pattern }, cursor, { epoch, gap, isBlind }) {
    const { position, epoch: known } = cursor;
    cursor.epoch = epoch;
    if (known !== undefined && epoch !== undefined && known !== epoch) {
      cursor.position = 0;
      cursor.onGap({ pattern, ...gap, isNewLog: true });
    } else if (position === null && isBlind) {
      cursor.onGap({ pattern });
    } else if (gap && position !== null && position < gap.to) {
      missed(pattern, cursor, gap);
    }
  }

  /** @param {Channel} channel @returns {Command[]} What brings its subscriptions on, unless an answer is awaited. */
  #next(channel) {
    const request = channel.asked ? null : wanted(channel);
    if (!request) {
      return [];
    }
    const { pattern, isOnWire } = channel;
    Object.assign(channel, { asked: request, isOnWire: true });
    /** @type {Command[]} */
    const commands = isOnWire ? [this.#unsubscribe(pattern)] : [];
    return [...commands, { sub: pattern, ...request.start, ...channel.session }];
  }

  /** @param {string} pattern @returns {Command} */
  #unsubscribe(pattern) {
    this.#removing.set(pattern, (this.#removing.get(pattern) ?? 0) + 1);
    return { unsub: pattern };
  }
}

/** @param {Start | null} one @param {Start | null} other */
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * @param {Channel} channel
 * @returns {Channel["asked"]} What to ask for next: first for those that begin, then for those that are behind.
 */
function wanted({ cursors, isOnWire, from }) {
  const first = cursors.find(({ start }) => start !== null)?.start;
  if (first) {
    return { start: first, cursors: cursors.filter(({ start }) => isSame(start, first)) };
  }
  const known = cursors.filter(({ position }) => position !== null);
  const least = known.sort((a, b) => Number(a.position) - Number(b.position)).at(0);
  const isBehind = least !== undefined && from !== null && Number(least.position) < from;
  if (isOnWire && !isBehind) {
    return null;
  }
  const { position, epoch } = least ?? {};
  return { start: least ? { after: Number(position), epoch } : {}, cursors: [] };
}

/**
 * @param {string} pattern @param {Cursor} cursor @param {{from: number, to: number}} gap
 */
function missed(pattern, cursor, { from, to }) {
  // Of a pattern with wildcards some topics may remain.
  if (cursor.position !== null && !/(^|\.)[*>](\.|$)/.test(pattern)) {
    cursor.position = Math.max(cursor.position, to);
  }
  cursor.onGap({ pattern, from, to });
}
