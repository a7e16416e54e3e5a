/**
 * The login, common to all tabs of this browser.
 *
 * @module
 */

import { claims } from "../fanline.js";

import { browser } from "./storage.js";

/** @typedef {import("./api.js").Session} Session */

const KEY = "fanline.session";

/** @returns {Session | null} The present login, if any; the server decides whether it has ended. */
export function load() {
  const session = browser.read(KEY);
  return isSession(session) ? { ...session, userId: session.userId ?? session.name } : null;
}

/** @param {any} value What the browser's store holds. @returns {value is Session} */
const isSession = (value) => typeof value?.token === "string" && typeof value.name === "string";

/** @param {Session} session The new login. */
export const save = (session) => browser.write(KEY, session);

/** Forget the login, in all tabs. */
export const clear = () => browser.remove(KEY);

/**
 * Return what tells one login from another: ids of messages are good within one.
 *
 * @param {Session} session The login.
 * @returns {string} Its id.
 */
export const loginId = (session) => claims(session.token).jti ?? "";

/**
 * Watch for logins and logouts in other tabs.
 *
 * @param {() => void} onChange Called after each.
 */
export function watch(onChange) {
  addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) {
      onChange();
    }
  });
}
