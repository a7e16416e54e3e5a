// What not every place that runs JavaScript has: workers and Node have no document, pages without TLS no
// `randomUUID`.

/**
 * Make a random id of 32 hexadecimal digits.
 *
 * @returns {string} The id.
 */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Call a function when the device is back online, and when the page becomes visible.
 *
 * @param {() => void} callback The function; not called while the page is hidden.
 * @param {AbortSignal} signal Ends this.
 * @param {Partial<EventTarget> & {document?: EventTarget & {visibilityState: string}}} [scope] The global object.
 */
export function onWake(callback, signal, scope = globalThis) {
  const page = scope.document;
  const wake = () => {
    if (page === undefined || page.visibilityState === "visible") {
      callback();
    }
  };
  scope.addEventListener?.("online", wake, { signal });
  page?.addEventListener("visibilitychange", wake, { signal });
}

/**
 * Call a function when the device goes offline, as far as it knows.
 *
 * @param {() => void} callback The function.
 * @param {AbortSignal} signal Ends this.
 * @param {Partial<EventTarget>} [scope] The global object.
 */
export function onOffline(callback, signal, scope = globalThis) {
  scope.addEventListener?.("offline", callback, { signal });
}

/** @param {unknown} error What a callback of the page has thrown: it is reported like any uncaught error. */
export function report(error) {
  if (typeof globalThis.reportError === "function") {
    reportError(error);
  } else {
    console.error(error);
  }
}
