/**
 * Dialogs that ask, and notes that pass.
 *
 * @module
 */

import { byId, element } from "./dom.js";

const NOTE = 7_000; // milliseconds

/**
 * Ask before an action that cannot be undone.
 *
 * @param {string} title The action, as a question.
 * @param {string} text Its consequences.
 * @param {string} action The text of the button that does it.
 * @returns {Promise<boolean>} Whether to do it.
 */
export async function confirm(title, text, action) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-action").textContent = action;
  const isConfirmed = await asked(byId("confirm"));
  byId("confirm").close();
  return isConfirmed;
}

/**
 * Ask for the name of a new room until it is made. A refusal is shown below the name, which stays.
 *
 * @template Room
 * @param {string} name A name to begin with.
 * @param {(name: string) => Promise<Room>} make Makes it; an empty name is made up by the server.
 * @returns {Promise<Room | null>} The room; null for none.
 */
export async function askForRoom(name, make) {
  const field = byId("room-name");
  const problem = byId("room-error");
  field.value = name;
  problem.textContent = "";
  while (await asked(byId("make-room"))) {
    try {
      const room = await make(field.value.trim());
      byId("make-room").close();
      return room;
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
      field.focus();
    }
  }
  return null;
}

/**
 * Show a dialog. Escape and "Cancel" are the same, and close it; a confirmed one stays until it is closed.
 *
 * @param {HTMLDialogElement} dialog The dialog, with a form in it.
 * @returns {Promise<boolean>} Whether it was confirmed.
 */
function asked(dialog) {
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  if (!dialog.open) {
    dialog.showModal();
  }
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      resolve(true);
    };
    form.onreset = () => dialog.close();
    dialog.onclose = () => resolve(false);
  });
}

/**
 * Show a note for some seconds, or until it is closed.
 *
 * @param {string} text What to show.
 * @param {...Node} more What to show after it.
 */
export function note(text, ...more) {
  const close = element("button.icon", { type: "button", "aria-label": "Close" }, "×");
  const shown = element("p.note", {}, element("span", {}, text, ...more), close);
  close.addEventListener("click", () => shown.remove());
  byId("notes").append(shown);
  setTimeout(() => shown.remove(), NOTE);
}
