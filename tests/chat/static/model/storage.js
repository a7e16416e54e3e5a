/** A stand-in for the browser's store, which Node has not. */
class MemoryStorage {
  /** @param {string} key */
  getItem(key) {
    return /** @type {Record<string, string>} */ (/** @type {unknown} */ (this))[key] ?? null;
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    Object.assign(this, { [key]: value });
  }

  /** @param {string} key */
  removeItem(key) {
    Reflect.deleteProperty(this, key);
  }
}

/** Put an empty store in the place of the browser's. */
export function emptyStorage() {
  Object.defineProperty(globalThis, "localStorage", { value: new MemoryStorage(), configurable: true });
}
