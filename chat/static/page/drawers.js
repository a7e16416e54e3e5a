/**
 * In a narrow window rooms and members are drawers over the conversation, one open at a time.
 *
 * @module
 */

import { byId } from "./dom.js";

const DRAWERS = [
  { button: byId("show-rooms"), panel: byId("rooms-panel") },
  { button: byId("show-members"), panel: byId("members-panel") },
];

/**
 * @param {(typeof DRAWERS)[0]} drawer
 * @param {boolean} isOpen
 */
function toggle(drawer, isOpen) {
  drawer.panel.classList.toggle("open", isOpen);
  drawer.button.setAttribute("aria-expanded", String(isOpen));
  byId("shade").hidden = !DRAWERS.some(({ panel }) => panel.classList.contains("open"));
}

/** Close the open drawer; the focus returns to its button. */
export function closeDrawers() {
  for (const drawer of DRAWERS.filter(({ panel }) => panel.classList.contains("open"))) {
    const hadFocus = drawer.panel.contains(document.activeElement);
    toggle(drawer, false);
    if (hadFocus) {
      drawer.button.focus();
    }
  }
}

for (const drawer of DRAWERS) {
  drawer.button.addEventListener("click", () => {
    const isOpen = drawer.panel.classList.contains("open");
    closeDrawers();
    toggle(drawer, !isOpen);
    if (!isOpen) {
      const first = drawer.panel.querySelector("[aria-current], a, button");
      /** @type {HTMLElement | null} */ (first)?.focus();
    }
  });
}

byId("shade").addEventListener("click", closeDrawers);
addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    closeDrawers();
  }
});
