/**
 * The plots of the overview, in SVG.
 *
 * @module
 */

import { number, percent, seconds, size, UNKNOWN } from "../model/format.js";
import { newest, plot } from "../model/series.js";
import { element } from "./dom.js";

/** @import { History } from "../model/series.js" */

const STEP_SECONDS = 5;

const SVG = "http://www.w3.org/2000/svg";

/**
 * What is plotted: of each line its name, service and measurement.
 *
 * @type {{title: string, spell: (value: number) => string, least: number, lines: [string, string, string][]}[]}
 */
const PLOTS = [
  {
    title: "Messages per second",
    spell: number,
    least: 1,
    lines: [
      ["received", "publisher", "received_per_second"],
      ["stored", "msgqueue", "stored_per_second"],
      ["delivered", "subscriber", "delivered_per_second"],
    ],
  },
  {
    title: "Commit",
    spell: seconds,
    least: 0.001,
    lines: [
      ["median", "msgqueue", "commit_p50_seconds"],
      ["99 %", "msgqueue", "commit_p99_seconds"],
    ],
  },
  {
    title: "Delivery",
    spell: seconds,
    least: 0.001,
    lines: [
      ["median", "subscriber", "delivery_p50_seconds"],
      ["99 %", "subscriber", "delivery_p99_seconds"],
    ],
  },
  { title: "Connections", spell: number, least: 1, lines: eachService("connections") },
  {
    title: "Slow consumers",
    spell: number,
    least: 1,
    lines: [
      ["subscriber", "subscriber", "slow_consumers"],
      ["chat", "chat", "slow_consumers"],
    ],
  },
  {
    title: "Durable consumers behind",
    spell: number,
    least: 1,
    lines: [["messages", "msgqueue", "consumers_behind"]],
  },
  {
    title: "Refused per second",
    spell: number,
    least: 1,
    lines: [
      ["messages", "publisher", "messages_refused_per_second"],
      ["requests", "publisher", "requests_refused_per_second"],
      ["at subscriber", "subscriber", "requests_refused_per_second"],
    ],
  },
  { title: "Size of the log", spell: size, least: 1024, lines: [["log", "msgqueue", "log_bytes"]] },
  { title: "Disk free", spell: size, least: 1024, lines: [["free", "msgqueue", "disk_free_bytes"]] },
  { title: "CPU", spell: percent, least: 0.1, lines: eachService("cpu") },
  { title: "Late event loop", spell: seconds, least: 0.01, lines: eachService("loop_lag_p99_seconds") },
  { title: "Memory", spell: size, least: 1 << 20, lines: eachService("memory_bytes") },
];

/** @param {string} measurement @returns {[string, string, string][]} */
function eachService(measurement) {
  return ["publisher", "msgqueue", "subscriber", "chat"].map((name) => [name, name, measurement]);
}

/**
 * Draw all plots that there is something for.
 *
 * @param {HTMLElement} place Where to.
 * @param {History} history What to draw.
 * @returns {number} How many minutes they show.
 */
export function drawPlots(place, history) {
  const figures = [];
  const minutes = Math.round((history.wide * STEP_SECONDS) / 60);
  for (const { title, spell, least, lines } of PLOTS) {
    const known = lines
      .map(([name, service, measurement]) => ({ name, values: history.values(service, measurement) }))
      .filter(({ values }) => values.length);
    if (known.length) {
      figures.push(figure(title, spell, least, history.wide, minutes, known));
    }
  }
  place.replaceChildren(...figures);
  return minutes;
}

/**
 * @param {string} title @param {(value: number) => string} spell @param {number} least @param {number} wide
 * @param {number} minutes @param {{name: string, values: (number | null)[]}[]} known
 */
function figure(title, spell, least, wide, minutes, known) {
  const { top, lines } = plot(
    known.map(({ values }) => values),
    wide,
    least,
  );
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 -2 100 104");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title} in the last ${minutes} minutes, up to ${spell(top)}`);
  lines.forEach((parts, index) => {
    for (const points of parts) {
      const line = document.createElementNS(SVG, "polyline");
      line.setAttribute("class", `plot-${index}`);
      line.setAttribute("points", points);
      svg.append(line);
    }
  });
  const legend = known.map(({ name, values }, index) => {
    const value = newest(values);
    return element(`li.plot-${index}`, {}, `${name} ${value === undefined ? UNKNOWN : spell(value)}`);
  });
  return element("figure", {}, element("figcaption", {}, title), element("ul", {}, ...legend), svg);
}
