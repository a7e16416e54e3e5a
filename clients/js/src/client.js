import { Link } from "./connection.js";

/** @import { LinkOptions, State } from "./connection.js" */

/** What publishers, subscribers and rooms have in common: one connection. */
export class Client {
  /** @protected */
  _link;

  /** @param {LinkOptions} options What to connect to, and the callbacks. */
  constructor(options) {
    this._link = new Link(options);
  }

  /** @returns {State} The state of the connection. */
  get state() {
    return this._link.state;
  }

  /** Connect at once, if waiting for the next attempt. */
  retryNow() {
    this._link.retryNow();
  }

  /** Close the connection. What has no answer is rejected with `Closed`, and may have been stored. */
  close() {
    this._link.close();
  }
}
