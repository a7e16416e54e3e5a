/**
 * Elements of the page.
 *
 * @module
 */

import { element, find } from "../shared/elements.js";

/** @import { Finder } from "../shared/elements.js" */

export { element, textButton } from "../shared/elements.js";

/**
 * The elements of the page that are more than an `HTMLElement`.
 *
 * @typedef {Record<"login-name" | "login-password" | "connections-user" | "search-topic" | "search-user" | "search-id" |
 *   "search-position" | "topics-pattern" | "publish-topic" | "token" | "play-topic" | "play-last" | "raw-text" |
 *   "post-topic" | "post-content", HTMLInputElement> &
 *   Record<"connections-before" | "connections-after" | "connect-button" | "subscribe" | "unsubscribe" | "raw-send",
 *   HTMLButtonElement> &
 *   {"connections-service": HTMLSelectElement, "publish-content": HTMLTextAreaElement, confirm: HTMLDialogElement}} Elements
 */

/** @type {Finder<Elements>} */
export const byId = find;

/**
 * Call a function whenever a form is sent.
 *
 * @param {string} id The form.
 * @param {() => void} submit The function.
 */
export function onSubmit(id, submit) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}

/** @typedef {string | Node | {number: string}} Cell A number stands at the right. */

/**
 * Show rows in a table.
 *
 * @param {string} id The table.
 * @param {Cell[]} heads Of the columns.
 * @param {Cell[][]} rows The rows.
 * @param {string} [none] Shown if there are none.
 */
export function fill(id, heads, rows, none = "") {
  const line = (/** @type {string} */ tag, /** @type {Cell[]} */ cells) =>
    element("tr", {}, ...cells.map((cell) => made(tag, cell)));
  const body = rows.map((row) => line("td", row));
  const empty = element("tr", {}, element("td", { colspan: `${heads.length}` }, none));
  byId(id).replaceChildren(
    element("thead", {}, line("th", heads)),
    element("tbody", {}, ...(body.length || !none ? body : [empty])),
  );
}

/** @param {string} tag @param {Cell} cell */
function made(tag, cell) {
  if (typeof cell === "object" && "number" in cell) {
    return element(`${tag}.number`, {}, cell.number);
  }
  return cell instanceof HTMLTableCellElement ? cell : element(tag, {}, cell);
}
