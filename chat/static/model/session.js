/**
 * The login, common to all tabs of this browser.
 *
 * @module
 */

import { claims } from "../fanline.js";

/** @typedef {import("./api.js").Session} Session */

const KEY = "fanline.session";

/** @returns {Session | null} The present login, unless there is none or it has expired. */
export function load() {
  /** @type {Session | null} */
  const session = JSON.parse(localStorage.getItem(KEY) ?? "null");
  return session && session.expires > Date.now() ? session : null;
}

/** @param {Session} session The new login. */
export const save = (session) => localStorage.setItem(KEY, JSON.stringify(session));

/** Forget the login, in all tabs. */
export const clear = () => localStorage.removeItem(KEY);

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
