/**
 * The overview: services with reasons, plots, consumers, log and disk.
 *
 * @module
 */

import { duration, number, percent, size, UNKNOWN } from "../model/format.js";
import { History, KEPT, newest } from "../model/series.js";
import { byId, element, fill } from "./dom.js";
import { drawPlots } from "./plots.js";

/** @import { Api } from "../model/api.js" */
/** @import { Entry } from "../model/series.js" */

const CLOCK_SECONDS = 1;
const CERTIFICATE_DAYS = 14;
const DAY = 86_400;

/** Shows how all services do. */
export class Overview {
  /** @param {Api} api The API. */
  constructor(api) {
    this.api = api;
    this.history = new History();
    /** @type {Entry[]} */
    this.services = [];
  }

  /** Ask again, and show it. */
  async refresh() {
    const now = Date.now() / 1000;
    let { services } = await this.api.get("services", { samples: this.history.missing(now) });
    if (this.history.isOfOthers(services)) {
      ({ services } = await this.api.get("services", { samples: KEPT }));
    }
    this.services = services;
    this.history.take(services, now);
    this.#showServices();
    const minutes = drawPlots(byId("plots"), this.history);
    byId("span").textContent = `The last ${minutes} minutes`;
    this.#showFacts();
    await this.#showConsumers();
  }

  #showServices() {
    const heads = ["Up", "Version", "Clock", "CPU", "Memory", "Open"].map((name) => ({ number: name }));
    const rows = this.services.map((entry) => [entry.name, stateOf(entry), ...this.#numbers(entry)]);
    fill("services", ["Service", "State", ...heads], rows);
    const said = this.services.flatMap((entry) => reasons(entry).map((reason) => `${entry.name}: ${reason}`));
    byId("reasons").replaceChildren(...said.map((sentence) => element("li", {}, sentence)));
  }

  /** @param {Entry} entry */
  #numbers({ name, status, clock_offset: offset }) {
    if (!status) {
      return [];
    }
    const now = (/** @type {string} */ what, /** @type {(value: number) => string} */ spell) => {
      const value = newest(this.history.values(name, what));
      return value === undefined ? UNKNOWN : spell(value);
    };
    return [
      duration(status.time - status.started),
      status.version,
      `${(offset ?? 0).toFixed(2).replace("-0.00", "0.00")} s`,
      now("cpu", percent),
      now("memory_bytes", size),
      now("connections", number),
    ].map((text) => ({ number: text }));
  }

  #showFacts() {
    const queue = this.services.find(({ status }) => status?.service === "msgqueue");
    const facts = queue?.status?.facts;
    if (!queue || !facts) {
      return;
    }
    const bytes = newest(this.history.values(queue.name, "log_bytes")) ?? 0;
    const free = newest(this.history.values(queue.name, "disk_free_bytes")) ?? 0;
    /** @type {[string, string][]} */
    const shown = [
      ["Newest position", `${newest(this.history.values(queue.name, "log_head")) ?? UNKNOWN}`],
      ["Log", `${size(bytes)} in ${facts.data_dir} (${facts.store}), epoch ${facts.epoch}`],
      [
        "Disk",
        `${size(free)} of ${size(facts.disk_total_bytes)} free; none is stored below ${size(facts.disk_reserve_bytes)}`,
      ],
      ["Retention", facts.retention.map(ruleInWords).join("; ") || "everything is kept"],
    ];
    byId("facts").replaceChildren(
      ...shown.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]),
    );
  }

  async #showConsumers() {
    const { consumers } = await this.api.get("consumers").catch(() => ({ consumers: [] }));
    consumers.sort((/** @type {any} */ a, /** @type {any} */ b) => b.behind - a.behind);
    const heads = ["Behind", "Position", "Connections", "Failing"].map((name) => ({ number: name }));
    const rows = consumers.map((/** @type {any} */ each) => [
      each.name,
      ...[each.behind, each.position, each.connections, each.failing].map((value) => ({
        number: `${value}`,
      })),
    ]);
    fill("consumers", ["Name", ...heads], rows, "There are none.");
  }
}

/** @param {Entry} entry */
function stateOf({ status }) {
  if (!status) {
    return element("span.bad", {}, "no answer");
  }
  return status.problem ? element("span.bad", {}, "not ready") : element("span.good", {}, "ready");
}

/** @param {Entry} entry @returns {string[]} What is not in order, in sentences. */
function reasons({ problem, status, clock_offset: offset }) {
  const found = [problem, status?.problem, ...(status?.notices ?? [])];
  if (status) {
    const days = (status.certificate_expires - status.time) / DAY;
    if (days < CERTIFICATE_DAYS) {
      found.push(`its certificate expires in ${days.toFixed(0)} days`);
    }
  }
  if (Math.abs(offset ?? 0) > CLOCK_SECONDS) {
    found.push(`its clock differs by ${offset?.toFixed(1)} s`);
  }
  return /** @type {string[]} */ (found.filter(Boolean));
}

/** @param {any} rule @returns {string} */
function ruleInWords({ topics, max_age: age, max_count: count, max_bytes: bytes }) {
  const limits = [
    age !== undefined && `for ${duration(age)}`,
    count !== undefined && `${count} of each topic`,
    bytes !== undefined && `up to ${size(bytes)}`,
  ].filter(Boolean);
  return `${topics}: ${limits.join(", ") || "everything"}`;
}
