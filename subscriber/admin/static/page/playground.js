/**
 * The playground: a WebSocket to the subscriber service, publishing, and every frame as it is.
 *
 * @module
 */

import { publishPath } from "../model/api.js";
import { size } from "../model/format.js";
import { SNIPPETS } from "../model/snippets.js";
import { byId, element, onSubmit } from "./dom.js";

/** @import { Api } from "../model/api.js" */
/** @import { Entry } from "../model/series.js" */

const MOST_FRAMES = 500;
const PROTOCOL = "fanline.v1";
const DIALECT = [PROTOCOL];

/** Shows frames to a developer. */
export class Playground {
  /** @param {Api} api The API. */
  constructor(api) {
    this.api = api;
    /** @type {WebSocket | undefined} */
    this.socket = undefined;
    this.publisher = "https://localhost:8081";
    byId("get-token").onclick = () => this.#getToken();
    onSubmit("connect", () => (this.socket ? this.socket.close() : this.#connect()));
    onSubmit("frame", () => this.#send(JSON.stringify(this.#subscription())));
    onSubmit("raw", () => this.#send(byId("raw-text").value));
    onSubmit("post", () => this.#post());
    byId("unsubscribe").onclick = () => this.#send(JSON.stringify({ unsub: byId("play-topic").value }));
    byId("clear").onclick = () => byId("frames").replaceChildren();
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (
      document.querySelectorAll("#copies button")
    )) {
      button.onclick = () => this.#copy(button.dataset.as ?? "curl");
    }
  }

  /** @param {Entry[]} services Those that there are. */
  setServices(services) {
    const url = services.find(({ name }) => name === "publisher")?.url;
    this.publisher = url?.replace(/^wss/, "https") ?? this.publisher;
  }

  async refresh() {}

  async #getToken() {
    try {
      byId("token").value = (await this.api.post("token", "{}")).token;
    } catch (error) {
      this.#note("!", /** @type {Error} */ (error).message);
    }
  }

  #connect() {
    const url = new URL("subscribe", document.baseURI);
    url.protocol = "wss:";
    const socket = new WebSocket(url, [...DIALECT, `fanline.token.${byId("token").value.trim()}`]);
    this.socket = socket;
    this.#note("↔", `connecting to ${url}`);
    socket.onopen = () => this.#setOpen(true);
    socket.onmessage = ({ data }) => this.#note("←", data);
    socket.onclose = ({ code, reason }) => {
      this.#note("↔", `closed with ${code}${reason && `: ${reason}`}`);
      this.socket = undefined;
      this.#setOpen(false);
    };
  }

  /** @param {boolean} isOpen */
  #setOpen(isOpen) {
    if (isOpen) {
      this.#note("↔", "open");
    }
    byId("connect-button").textContent = isOpen ? "Disconnect" : "Connect";
    byId("subscribe").disabled = byId("unsubscribe").disabled = byId("raw-send").disabled = !isOpen;
  }

  #subscription() {
    const last = byId("play-last").value;
    return { sub: byId("play-topic").value, ...(last && { last: Number(last) }) };
  }

  /** @param {string} text */
  #send(text) {
    this.socket?.send(text);
    this.#note("→", text);
  }

  async #post() {
    const topic = byId("post-topic").value.trim();
    const content = byId("post-content").value;
    this.#note("→", `POST /topics/${topic}/messages ${content}`);
    try {
      this.#note("←", JSON.stringify(await this.api.post(publishPath(topic), content)));
    } catch (error) {
      this.#note("!", /** @type {Error} */ (error).message);
    }
  }

  /** @param {string} direction @param {string} text */
  #note(direction, text) {
    const frames = byId("frames");
    const time = new Date().toISOString().slice(11, 23);
    const bytes = new TextEncoder().encode(text).length;
    frames.prepend(
      element(
        "li",
        {},
        element("time", {}, time),
        element("span", { title: size(bytes) }, direction),
        element("span.code", {}, text),
      ),
    );
    while (frames.childElementCount > MOST_FRAMES) {
      frames.lastElementChild?.remove();
    }
  }

  /** @param {string} as */
  async #copy(as) {
    const code = SNIPPETS[as]({
      subscriber: new URL(".", document.baseURI).href.replace(/\/$/, ""),
      publisher: this.publisher,
      pattern: byId("play-topic").value,
      topic: byId("post-topic").value,
      content: byId("post-content").value,
      last: byId("play-last").value,
    });
    byId("copy").textContent = code;
    const isCopied = await navigator.clipboard.writeText(code).then(
      () => true,
      () => false,
    );
    byId("copied").textContent = isCopied ? "Copied." : "Select it to copy it.";
  }
}
