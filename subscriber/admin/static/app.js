/**
 * The status page: a login, and four views, each shown by the part of the address after `#`.
 *
 * @module
 */

import { Api } from "./model/api.js";
import { Connections } from "./page/connections.js";
import { byId, onSubmit } from "./page/dom.js";
import { Log } from "./page/log.js";
import { Overview } from "./page/overview.js";
import { Playground } from "./page/playground.js";

const REFRESH = 5_000;

/** The page of one admin who is logged in. */
class Page {
  /** @param {Api} api The API. */
  constructor(api) {
    const tell = (/** @type {string} */ text) => {
      byId("news").textContent = text;
    };
    this.tell = tell;
    this.overview = new Overview(api);
    this.connections = new Connections(api, tell);
    this.playground = new Playground(api);
    /** @type {Record<string, {refresh: () => Promise<void>}>} */
    this.views = {
      overview: this.overview,
      connections: this.connections,
      log: new Log(api),
      playground: this.playground,
    };
    this.hasFailed = false;
    window.addEventListener("hashchange", () => this.show());
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Show the view that the address names. */
  show() {
    const wanted = location.hash.slice(1);
    const shown = wanted in this.views ? wanted : "overview";
    for (const name of Object.keys(this.views)) {
      byId(name).hidden = name !== shown;
    }
    for (const link of document.querySelectorAll("nav a")) {
      if (link.getAttribute("href") === `#${shown}`) {
        link.setAttribute("aria-current", "page");
      } else {
        link.removeAttribute("aria-current");
      }
    }
    this.shown = shown;
    this.refresh();
  }

  /** Ask again for what is shown, unless the page is hidden. */
  async refresh() {
    if (document.hidden) {
      return;
    }
    try {
      await this.views[this.shown ?? "overview"].refresh();
      this.connections.setServices(this.overview.services);
      this.playground.setServices(this.overview.services);
      if (this.hasFailed) {
        this.tell("");
      }
      this.hasFailed = false;
    } catch (error) {
      this.hasFailed = true;
      this.tell(/** @type {Error} */ (error).message);
    }
  }

  /** Begin. */
  async start() {
    await this.overview.refresh();
    byId("login").hidden = true;
    byId("status").hidden = false;
    this.show();
    setInterval(() => this.refresh(), REFRESH);
  }
}

onSubmit("login-form", async () => {
  const api = new Api(byId("login-name").value, byId("login-password").value);
  byId("login-error").textContent = "";
  try {
    await api.get("services");
    await new Page(api).start();
  } catch (error) {
    byId("login-error").textContent = /** @type {Error} */ (error).message;
  }
});
byId("login-name").focus();
