/**
 * Who is logged in, in all tabs of this browser.
 *
 * @module
 */

import { claims } from "./fanline.js";

const KEY = "fanline.session";

/** @typedef {{token: string, name: string, expires: number}} Session */

/** @returns {Session | null} The present login, if there is one that is good. */
export function load() {
  const session = JSON.parse(localStorage.getItem(KEY));
  return session && session.expires > Date.now() ? session : null;
}

/** @param {Session} session The new login. */
export const save = (session) => localStorage.setItem(KEY, JSON.stringify(session));

/** Forget the login, in all tabs. */
export const clear = () => localStorage.removeItem(KEY);

/**
 * What tells one login from another: ids of messages are good within one.
 *
 * @param {Session} session The login.
 * @returns {string} Its id.
 */
export const loginId = (session) => claims(session.token).jti ?? "";

/**
 * Hear of logins and logouts in other tabs.
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
