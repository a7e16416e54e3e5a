/**
 * The page: the login form without a login, the rooms with one.
 *
 * @module
 */

import { enterAsGuest, logIn } from "./model/api.js";
import * as session from "./model/session.js";
import { browser } from "./model/storage.js";
import { Chat } from "./page/chat.js";
import { byId } from "./page/dom.js";
import { closeDrawers } from "./page/drawers.js";

const NAME = "fanline.name";

/** @type {Chat | null} */
let chat = null;

/**
 * Show the rooms or the login form, after any change of the login.
 *
 * @param {string} note A sentence for the login form.
 */
function show(note = "") {
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
    document.title = "Fanline chat";
    byId("login-note").textContent = note;
    byId(byId("login-name").value ? "login-password" : "login-name").focus();
  }
}

/** @param {string} note Why the login has ended: here, in another tab, or at the server. */
function leave(note) {
  session.clear();
  show(note);
}

/** @param {Promise<session.Session>} request A request for a login. */
async function enter(request) {
  const enable = (/** @type {boolean} */ isEnabled) => {
    for (const button of byId("login").querySelectorAll("button")) {
      button.disabled = !isEnabled;
    }
  };
  byId("login-error").textContent = "";
  enable(false);
  try {
    session.save(await request);
    byId("login-password").value = "";
    show();
  } catch (error) {
    byId("login-error").textContent = /** @type {Error} */ (error).message;
  } finally {
    enable(true);
  }
}

byId("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("login-name").value;
  browser.write(NAME, name);
  enter(logIn(name, byId("login-password").value));
});
byId("guest").addEventListener("click", () => enter(enterAsGuest()));
byId("login-name").value = `${browser.read(NAME) ?? ""}`;
session.watch(() => {
  if (session.load()?.token !== chat?.token) {
    show("You were logged out in another tab.");
  }
});
byId("loading").remove();
show();
