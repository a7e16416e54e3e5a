/**
 * The open connections of each service, and disconnecting their users.
 *
 * @module
 */

import { size, UNKNOWN } from "../model/format.js";
import { byId, element, fill, onSubmit } from "./dom.js";

/** @import { Api } from "../model/api.js" */
/** @import { Entry } from "../model/series.js" */

const PAGE = 100;

/** Shows connections, those first that the most bytes wait for. */
export class Connections {
  /**
   * @param {Api} api The API.
   * @param {(text: string) => void} tell Shows a sentence.
   */
  constructor(api, tell) {
    this.api = api;
    this.tell = tell;
    this.skip = 0;
    onSubmit("connections-form", () => this.#show(0));
    byId("connections-service").onchange = () => this.#show(0);
    byId("connections-before").onclick = () => this.#show(Math.max(0, this.skip - PAGE));
    byId("connections-after").onclick = () => this.#show(this.skip + PAGE);
  }

  /** @param {Entry[]} services Those that there are. */
  setServices(services) {
    const select = byId("connections-service");
    const names = services.map(({ name }) => name);
    this.workers = new Map(services.map(({ name, status }) => [name, status?.workers ?? 1]));
    if ([...select.options].map(({ value }) => value).join() !== names.join()) {
      const chosen = select.value || "subscriber";
      select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
    }
  }

  /** Ask again, and show it. */
  async refresh() {
    const service = byId("connections-service").value || "subscriber";
    const user = byId("connections-user").value;
    const page = await this.api.get(`at/${service}/admin/connections`, {
      user,
      skip: this.skip,
      limit: PAGE,
    });
    const last = this.skip + page.connections.length;
    const found = page.total
      ? `${this.skip + 1} to ${last} of ${page.total}, those first that the most bytes wait for`
      : "There are none";
    const workers = this.workers?.get(service) ?? 1;
    const where = `, at one of its ${workers} workers, perhaps another one each time; Disconnect reaches all of them`;
    byId("connections-count").textContent = `${found}${workers > 1 ? where : ""}.`;
    byId("connections-before").disabled = this.skip === 0;
    byId("connections-after").disabled = last >= page.total;
    const heads = [
      "User",
      "Address",
      "Kind",
      { number: "Waiting" },
      { number: "Behind" },
      "Subscriptions",
      "Action",
    ];
    fill(
      "connection-rows",
      heads,
      page.connections.map((/** @type {any} */ each) => this.#row(each)),
    );
  }

  /** @param {number} skip */
  #show(skip) {
    this.skip = skip;
    this.refresh().catch((error) => this.tell(error.message));
  }

  /** @param {any} connection */
  #row({ user, address, port, kind, waiting_bytes: waiting, slow, topics, topic_count: count, behind }) {
    const more = count > topics.length ? ` and ${count - topics.length} more` : "";
    const button = element("button", { type: "button", onclick: () => this.#disconnect(user) }, "Disconnect");
    button.setAttribute("aria-label", `Disconnect ${user}`);
    return [
      user ?? UNKNOWN,
      `${address}:${port}`,
      kind,
      { number: size(waiting) + (slow ? ", slow" : "") },
      { number: behind === null ? UNKNOWN : `${behind}` },
      element("td.code", {}, topics.join(" ") + more),
      user === null ? "" : button,
    ];
  }

  /** @param {string} user */
  #disconnect(user) {
    const dialog = byId("confirm");
    byId("confirm-title").textContent = `Disconnect ${user}?`;
    byId("confirm-text").textContent =
      "All connections of this user are closed, on all services. The user may come back.";
    dialog.returnValue = "no";
    dialog.onclose = async () => {
      if (dialog.returnValue === "yes") {
        try {
          await this.api.post("at/publisher/admin/disconnect", JSON.stringify({ user }));
          this.tell(`${user} is disconnected.`);
        } catch (error) {
          this.tell(/** @type {Error} */ (error).message);
        }
        this.#show(this.skip);
      }
    };
    dialog.showModal();
  }
}
