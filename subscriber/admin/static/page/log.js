/**
 * The log: search, topics with their newest messages, and publishing.
 *
 * @module
 */

import { publishPath } from "../model/api.js";
import { moment, size } from "../model/format.js";
import { byId, element, fill, onSubmit, textButton } from "./dom.js";

/** @import { Api } from "../model/api.js" */
/** @import { Cell } from "./dom.js" */

const HEADS = [{ number: "Position" }, "Time (UTC)", "Topic", "User", "Id", "Content"];

/** Shows messages and topics. */
export class Log {
  /** @param {Api} api The API. */
  constructor(api) {
    this.api = api;
    /** @type {Cell[][]} */
    this.rows = [];
    /** @type {Cell[][]} */
    this.topics = [];
    /** @type {number | undefined} */
    this.before = undefined;
    /** @type {{after?: number, until?: number}} */
    this.next = {};
    onSubmit("search", () => this.#search(true));
    onSubmit("topics-form", () => this.#list(true));
    onSubmit("publish", () => this.#publish());
    byId("search-older").onclick = () => this.#search(false);
    byId("topics-more").onclick = () => this.#list(false);
  }

  /** Show the newest messages and topics, the first time. */
  async refresh() {
    if (!this.rows.length) {
      await this.#search(true);
      await this.#list(true);
    }
  }

  /** @param {boolean} isNew Whether to begin at the end of the log. */
  async #search(isNew) {
    if (isNew) {
      this.rows = [];
      this.before = undefined;
    }
    const [topic, user, id, position] = ["topic", "user", "id", "position"].map((name) =>
      /** @type {HTMLInputElement} */ (document.getElementById(`search-${name}`)).value.trim(),
    );
    const said = byId("search-said");
    try {
      const query = position ? { topic, position } : { topic, user, id, before: this.before };
      const found = await this.api.get("messages", query);
      this.rows.push(...found.messages.map((/** @type {any} */ each) => this.#row(each, position !== "")));
      this.before = found.next ?? undefined;
      byId("search-older").hidden = found.next === null || position !== "";
      said.textContent = sentence(found);
    } catch (error) {
      said.textContent = /** @type {Error} */ (error).message;
    }
    fill("messages", HEADS, this.rows, "There are none.");
  }

  /** @param {boolean} isNew */
  async #list(isNew) {
    if (isNew) {
      this.topics = [];
      this.next = {};
    }
    const page = await this.api
      .get("topics", { pattern: byId("topics-pattern").value.trim(), ...this.next })
      .catch((error) => {
        byId("search-said").textContent = error.message;
        return { topics: [], next: null };
      });
    this.topics.push(
      ...page.topics.map((/** @type {any} */ each) => [
        textButton(each.topic, () => this.#open({ topic: each.topic })),
        ...this.#row(each, false).slice(0, 2),
        ...this.#row(each, false).slice(3),
      ]),
    );
    this.next = { after: page.next ?? undefined, until: page.until };
    byId("topics-more").hidden = page.next === null;
    fill("topics", ["Topic", ...HEADS.slice(0, 2), ...HEADS.slice(3)], this.topics, "There are none.");
  }

  /** @param {{topic?: string, position?: number}} what */
  #open({ topic = "", position }) {
    byId("search-topic").value = topic;
    byId("search-user").value = byId("search-id").value = "";
    byId("search-position").value = position === undefined ? "" : `${position}`;
    byId("search-topic").focus();
    this.#search(true);
  }

  /** @param {any} message @param {boolean} isWhole @returns {Cell[]} */
  #row({ seq, time, topic, from = "", id = "", content, preview, size: bytes }, isWhole) {
    const text =
      content === undefined ? `${preview}… (${size(bytes)})` : JSON.stringify(content, null, isWhole ? 2 : 0);
    const open = textButton(`${seq}`, () => this.#open({ topic, position: seq }));
    return [
      element("td.number", {}, open),
      moment(time),
      textButton(topic, () => this.#open({ topic })),
      from,
      id,
      element(isWhole ? "td.code.whole" : "td.code", {}, text),
    ];
  }

  async #publish() {
    const topic = byId("publish-topic").value.trim();
    const said = byId("publish-said");
    try {
      const content = byId("publish-content").value;
      JSON.parse(content);
      const { seq } = await this.api.post(publishPath(topic), content);
      said.textContent = `Stored at position ${seq}.`;
    } catch (error) {
      const reason = /** @type {Error} */ (error);
      said.textContent =
        reason instanceof SyntaxError ? `This is not JSON: ${reason.message}` : reason.message;
    }
  }
}

/** @param {any} found @returns {string} */
function sentence({ looked_at: lookedAt, next, last }) {
  const rest = next === null ? "that is all there is" : `older ones come before position ${next}`;
  return `Looked at ${lookedAt} messages; ${rest}. The log ends at position ${last}.`;
}
