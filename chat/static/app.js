/**
 * The page: the login form without a login, the rooms with one.
 *
 * @module
 */

import { about, ask } from "./model/about.js";
import { enterAsGuest, logIn } from "./model/api.js";
import * as sentences from "./model/sentences.js";
import * as session from "./model/session.js";
import { browser } from "./model/storage.js";
import { Chat } from "./page/chat.js";
import { note } from "./page/dialogs.js";
import { byId } from "./page/dom.js";
import { closeDrawers } from "./page/drawers.js";

/** @import { Failure } from "./model/api.js" */

const NAME = "fanline.name";

/** @type {Chat | null} */
let chat = null;

/**
 * Show the rooms or the login form, after any change of the login.
 *
 * @param {string} lead A sentence for the login form.
 */
function show(lead = "") {
  const current = session.load();
  if (chat && chat.token !== current?.token) {
    chat.close();
    chat = null;
  }
  closeDrawers();
  byId("chat").hidden = !current;
  byId("login").hidden = Boolean(current);
  if (current) {
    chat ??= new Chat(current, leave);
  } else {
    document.title = about.name;
    byId("login-note").textContent = lead;
    byId(byId("login-name").value ? "login-password" : "login-name").focus();
  }
}

/** @param {string} lead Why the login has ended: here, in another tab, or at the server. */
function leave(lead) {
  session.clear();
  show(lead);
}

/** @param {Promise<session.Session>} request A request for a login. */
async function enter(request) {
  byId("login-error").textContent = "";
  enable(false);
  try {
    session.save(await request);
    byId("login-password").value = "";
    show();
    enable(true);
  } catch (error) {
    refuse(/** @type {Failure} */ (error));
  }
}

/** @param {Failure} failure Why there is no login: it is shown next to the field that is to be changed. */
function refuse({ message, field, retryAfter }) {
  byId("login-error").textContent = message;
  enable(true);
  const wrong = byId(field === "name" ? "login-name" : "login-password");
  wrong.focus();
  wrong.select();
  if (retryAfter) {
    countDown(retryAfter);
  }
}

/** @param {number} seconds How long no login is possible. */
function countDown(seconds) {
  enable(seconds === 0);
  byId("log-in").textContent = seconds ? `Log in (in ${seconds} s)` : "Log in";
  if (seconds) {
    setTimeout(() => countDown(seconds - 1), 1_000);
  }
}

/** @param {boolean} isEnabled Whether a login is possible now. */
function enable(isEnabled) {
  byId("log-in").disabled = byId("guest").disabled = !isEnabled;
}

byId("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("login-name").value;
  browser.write(NAME, name);
  enter(logIn(name, byId("login-password").value, session.keyOf(name)));
});
byId("guest").addEventListener("click", () => enter(enterAsGuest()));
byId("login-name").value = `${browser.read(NAME) ?? ""}`;
session.watch(() => {
  if (session.load()?.token !== chat?.token) {
    show(sentences.LOGGED_OUT_ELSEWHERE);
  }
});
for (const kind of ["dragover", "drop", "paste"]) {
  addEventListener(kind, (event) => {
    const data =
      /** @type {DragEvent} */ (event).dataTransfer ?? /** @type {ClipboardEvent} */ (event).clipboardData;
    if (data?.types.includes("Files") && !data.types.includes("text/plain")) {
      event.preventDefault(); // else the browser would leave the page for the file
      if (kind !== "dragover") {
        note(sentences.NO_FILES);
      }
    }
  });
}
byId("loading").remove();
show();
ask().then(() => {
  byId("login-title").textContent = about.name;
  byId("by-guest").hidden = !about.guests;
  if (!chat) {
    document.title = about.name;
  }
});
