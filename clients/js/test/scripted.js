// Services that a test plays: WebSockets that it opens and answers, requests that it answers.

/** A WebSocket as a client sees it, whose other end is the test. */
export class FakeSocket {
  readyState = 0;
  /** @type {((event?: any) => void) | null} */
  onopen = null;
  /** @type {((event: any) => void) | null} */
  onmessage = null;
  /** @type {((event: any) => void) | null} */
  onclose = null;
  /** @type {any[]} */
  #sent = [];
  /** @type {(() => void)[]} */
  #listeners = [];

  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  /** @param {string} _ @param {() => void} listener Called when it opens: the only event that is listened to so. */
  addEventListener(_, listener) {
    this.#listeners.push(listener);
  }

  /** @param {string} text */
  send(text) {
    if (this.readyState !== 1) {
      throw new Error("sent on a WebSocket that is not open");
    }
    this.#sent.push(...[JSON.parse(text)].flat());
  }

  close() {
    this.readyState = 2;
  }

  // What the test does.

  /** @returns {any[]} The frames that came since the last time. */
  take() {
    const frames = this.#sent;
    this.#sent = [];
    return frames;
  }

  open() {
    this.readyState = 1;
    for (const listener of this.#listeners) {
      listener();
    }
    this.onopen?.();
  }

  /** @param {...object} frames */
  receive(...frames) {
    for (const frame of frames) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
  }

  /** @param {number} code @param {string} [reason] */
  end(code, reason = "") {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

/** A server: the sockets that were made, in order. */
export class Script {
  /** @type {FakeSocket[]} */
  sockets = [];

  get WebSocket() {
    const { sockets } = this;
    return class extends FakeSocket {
      /** @param {string} url @param {string[]} protocols */
      constructor(url, protocols) {
        super(url, protocols);
        sockets.push(this);
      }
    };
  }

  /** @param {number} [number] Of the socket, from 1 on; the newest by default. */
  async opened(number = this.sockets.length) {
    await turn();
    const socket = this.sockets[(number || 1) - 1];
    socket.open();
    await turn();
    return socket;
  }
}

/** Let everything happen that does not wait for time. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));

/** @param {string} topic @param {number} seq */
export const message = (topic, seq) => ({ topic, content: seq, seq, time: 1 });
