/**
 * Questions that are asked in a window of their own, and notes that pass.
 *
 * @module
 */

import { byId, element } from "./dom.js";

const NOTE = 7_000; // milliseconds

/**
 * Ask before something that cannot be undone.
 *
 * @param {string} title What is about to happen, as a question.
 * @param {string} text What that means.
 * @param {string} action What the button says that does it.
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

/** Show a dialog, and tell how it ends; Escape and "Cancel" are the same. */
function asked(dialog) {
  const form = dialog.querySelector("form");
  dialog.showModal();
  return new Promise((resolve) => {
    const end = (answer) => (event) => {
      event.preventDefault();
      dialog.close();
      resolve(answer);
    };
    form.onsubmit = end(true);
    form.onreset = dialog.oncancel = end(false);
  });
}

/**
 * Say something that need not be answered.
 *
 * @param {string} text What.
 */
export function note(text) {
  const shown = element("p.note", {}, text);
  byId("notes").append(shown);
  setTimeout(() => shown.remove(), NOTE);
}
