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
export function confirm(title, text, action) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-action").textContent = action;
  return asked(byId("confirm"));
}

/**
 * Ask for the name of a new room.
 *
 * @returns {Promise<string | null>} The name, empty for one that the server makes up; null for no room.
 */
export async function askForName() {
  const field = byId("room-name");
  field.value = "";
  return (await asked(byId("make-room"))) ? field.value.trim() : null;
}

/**
 * Show a dialog. Escape and "Cancel" are the same.
 *
 * @param {HTMLDialogElement} dialog The dialog, with a form in it.
 * @returns {Promise<boolean>} Whether it was confirmed.
 */
function asked(dialog) {
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
  dialog.showModal();
  return new Promise((resolve) => {
    const end = (/** @type {boolean} */ answer) => (/** @type {Event} */ event) => {
      event.preventDefault();
      dialog.close();
      resolve(answer);
    };
    form.onsubmit = end(true);
    form.onreset = dialog.oncancel = end(false);
  });
}

/** @param {string} text What to show for some seconds. */
export function note(text) {
  const shown = element("p.note", {}, text);
  byId("notes").append(shown);
  setTimeout(() => shown.remove(), NOTE);
}
