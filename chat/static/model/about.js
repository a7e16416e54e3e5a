/**
 * What the installation is called and allows. Until the server has told, its defaults.
 *
 * @module
 */

import { loadAbout } from "./api.js";

export const about = {
  name: "Fanline chat",
  guests: true,
  limits: { message: 16_384, name: 64, roomId: 64 },
  restoreSeconds: 86_400,
};

/** Ask the server; without an answer the defaults stay. */
export const ask = () =>
  loadAbout()
    .then((told) => Object.assign(about, told))
    .catch(() => about);
