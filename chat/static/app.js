/**
 * The page: who is logged in, and with that, either the way in or the rooms.
 *
 * @module
 */

import { enterAsGuest, logIn } from "./api.js";
import { Chat } from "./chat.js";
import { byId } from "./dom.js";
import { closeDrawers } from "./drawers.js";
import * as session from "./session.js";

const NAME = "fanline.name";

let chat = null;

/** Show the rooms to who is logged in, or else the way in; after any change of the login. */
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

/** The login is over: here, in another tab, or by the word of the server. */
function leave(note) {
  session.clear();
  show(note);
}

async function enter(request) {
  const buttons = byId("login").querySelectorAll("button");
  byId("login-error").textContent = "";
  buttons.forEach((button) => (button.disabled = true));
  try {
    const login = await request;
    session.save(login);
    byId("login-password").value = "";
    show();
  } catch (error) {
    byId("login-error").textContent = error.message;
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

byId("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("login-name").value;
  localStorage.setItem(NAME, name);
  enter(logIn(name, byId("login-password").value));
});
byId("guest").addEventListener("click", () => enter(enterAsGuest()));
byId("login-name").value = localStorage.getItem(NAME) ?? "";
session.watch(() => {
  if (session.load()?.token !== chat?.token) {
    show("You were logged out in another tab.");
  }
});
show();
