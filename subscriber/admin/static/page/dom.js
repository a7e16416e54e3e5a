/**
 * Elements of the page. Text goes in as text, never as HTML.
 *
 * @module
 */

/**
 * Make an element.
 *
 * @param {string} tag `name` or `name.class.class`.
 * @param {Record<string, any>} [attributes] `onclick` and the like are listeners; false and undefined leave one out.
 * @param {...(Node | string)} children Its content.
 * @returns {HTMLElement} The element.
 */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      made.addEventListener(key.slice(2), value);
    } else if (value !== false && value !== undefined) {
      made.setAttribute(key, value === true ? "" : value);
    }
  }
  made.append(...children);
  return made;
}

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

/**
 * Find an element of the page.
 *
 * @template {string} Id
 * @param {Id} id Its id.
 * @returns {Id extends keyof Elements ? Elements[Id] : HTMLElement} The element.
 */
export const byId = (id) => /** @type {any} */ (document.getElementById(id));

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

/** @param {string} text @param {() => void} onclick @returns {HTMLElement} A button that looks like a link. */
export const textButton = (text, onclick) => element("button.link", { type: "button", onclick }, text);
