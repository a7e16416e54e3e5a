/**
 * The login, common to all tabs of this browser.
 *
 * @module
 */

import { claims } from "../fanline.js";

import { browser } from "./storage.js";

/** @typedef {import("./api.js").Session} Session */

const KEY = "fanline.session";
const KEYS = "fanline.key.";

/** @returns {Session | null} The present login, if any; the server decides whether it has ended. */
export function load() {
  const session = browser.read(KEY);
  return isSession(session) ? session : null;
}

/** @param {any} value What the browser's store holds. @returns {value is Session} */
const isSession = (value) => ["token", "name", "userId"].every((field) => typeof value?.[field] === "string");

/**
 * Return the secret by which the server knows a person again: who made a room stays its creator.
 *
 * @param {string} name The person's name.
 * @returns {string} The secret, which this browser keeps.
 */
export function keyOf(name) {
  const kept = browser.read(KEYS + name);
  const key = typeof kept === "string" ? kept : crypto.randomUUID();
  browser.write(KEYS + name, key);
  return key;
}

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
