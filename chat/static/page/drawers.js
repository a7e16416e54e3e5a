/**
 * In a narrow window rooms and members are drawers over the conversation, one open at a time.
 *
 * The rest of the page cannot be reached while one is open. Escape, the back button of a phone, its own button and a
 * click next to it close it.
 *
 * @module
 */

import { byId } from "./dom.js";

const DRAWERS = [
  { button: byId("show-rooms"), panel: byId("rooms-panel") },
  { button: byId("show-members"), panel: byId("members-panel") },
];

/** @type {{destroy(): void} | undefined} */
let watcher;

/**
 * @param {(typeof DRAWERS)[0]} drawer
 * @param {boolean} isOpen
 */
function toggle(drawer, isOpen) {
  drawer.panel.classList.toggle("open", isOpen);
  drawer.button.setAttribute("aria-expanded", String(isOpen));
  byId("room").inert = isOpen;
  byId("shade").hidden = !isOpen;
}

/** Close the open drawer; the focus returns to its button. */
export function closeDrawers() {
  watcher?.destroy();
  watcher = undefined;
  for (const drawer of DRAWERS.filter(({ panel }) => panel.classList.contains("open"))) {
    const hadFocus = drawer.panel.contains(document.activeElement);
    toggle(drawer, false);
    if (hadFocus) {
      drawer.button.focus();
    }
  }
}

/** @param {(typeof DRAWERS)[0]} drawer */
function open(drawer) {
  closeDrawers();
  toggle(drawer, true);
  const first = drawer.panel.querySelector("[aria-current]") ?? drawer.panel.querySelector(".close");
  /** @type {HTMLElement | null} */ (first)?.focus();
  watchBack();
}

/** Let the back button of a phone close the drawer, where the browser can: it would leave the page. */
function watchBack() {
  const { CloseWatcher } = /** @type {any} */ (globalThis);
  if (CloseWatcher) {
    watcher = Object.assign(new CloseWatcher(), { onclose: closeDrawers });
  }
}

for (const drawer of DRAWERS) {
  drawer.button.addEventListener("click", () => open(drawer));
  drawer.panel.querySelector(".close")?.addEventListener("click", closeDrawers);
}

byId("shade").addEventListener("click", closeDrawers);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    closeDrawers();
  }
});
