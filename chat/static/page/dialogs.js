/**
 * Dialogs that ask, and notes that pass.
 *
 * @module
 */

import { MAKE_ANYWAY } from "../model/sentences.js";
import { byId, element, textButton } from "./dom.js";

/** @import { DeletedRoom, Failure, RoomName } from "../model/api.js" */

const NOTE = 10_000; // milliseconds
const NOTE_TO_ACT_ON = 30_000;

/** Take all dialogs and notes off the page: the next person is another one. */
export function closeAll() {
  byId("notes").replaceChildren();
  for (const dialog of [byId("confirm"), byId("make-room")]) {
    dialog.close();
  }
}

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
 * Ask for the name of a new room until it is made, or for a deleted one to restore. A refusal is shown below the name,
 * which stays; a name that another room has is taken if it is asked for a second time.
 *
 * @param {string} name A name to begin with.
 * @param {Promise<DeletedRoom[]>} deleted The deleted rooms.
 * @param {object} requests
 * @param {(name: string, isDuplicate: boolean) => Promise<RoomName>} requests.make Makes a room; the server makes up
 *   an empty name.
 * @param {(id: string) => Promise<RoomName>} requests.restore Restores one.
 * @returns {Promise<RoomName | null>} The room; null for none.
 */
export async function askForRoom(name, deleted, { make, restore }) {
  const field = byId("room-name");
  const problem = byId("room-error");
  field.value = name;
  problem.textContent = "";
  let taken = "";
  /** @type {{id?: string}} */
  const restoring = {};
  deleted.then((rooms) =>
    showDeleted(rooms, (id) => {
      restoring.id = id;
      byId("make-room").querySelector("form")?.requestSubmit();
    }),
  );
  while (await asked(byId("make-room"))) {
    const wanted = field.value.trim();
    try {
      const isDuplicate = wanted !== "" && wanted === taken;
      const room = await (restoring.id === undefined ? make(wanted, isDuplicate) : restore(restoring.id));
      byId("make-room").close();
      return room;
    } catch (error) {
      const { code, message } = /** @type {Failure} */ (error);
      taken = code === "room-name-exists" ? wanted : "";
      problem.textContent = taken ? `${message} ${MAKE_ANYWAY}` : message;
      delete restoring.id;
      field.focus();
    }
  }
  return null;
}

/** @param {DeletedRoom[]} rooms Rooms that can be restored. @param {(id: string) => void} restore */
function showDeleted(rooms, restore) {
  byId("deleted").hidden = rooms.length === 0;
  const rows = rooms.map(({ roomId, roomName }) =>
    element(
      "li",
      {},
      element("bdi.name", {}, roomName),
      " ",
      textButton("Restore", () => restore(roomId)),
    ),
  );
  byId("deleted")
    .querySelector("ul")
    ?.replaceChildren(...rows);
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
    dialog.oncancel = () => resolve(false);
    // The event comes later than the end: the dialog may have been opened again in between.
    dialog.onclose = () => dialog.open || resolve(false);
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
  for (const other of byId("notes").children) {
    if (other.textContent === shown.textContent) {
      other.remove(); // once is enough
    }
  }
  close.addEventListener("click", () => shown.remove());
  byId("notes").append(shown);
  setTimeout(() => shown.remove(), more.length ? NOTE_TO_ACT_ON : NOTE);
}
