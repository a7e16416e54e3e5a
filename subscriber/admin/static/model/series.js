/**
 * Measurements over time, and the lines that show them.
 *
 * @module
 */

/** @typedef {(number | null)[]} Values */
/**
 * What a service says of itself.
 *
 * @typedef {{
 *   service: string, version: string, started: number, time: number, problem: string | null, notices: string[],
 *   certificate_expires: number, step: number, taken: number, pid: number, host: string, workers: number,
 *   series: Record<string, Values>, facts: Record<string, any>,
 * }} Status
 */
/** @typedef {{name: string, url: string, problem: string | null, clock_offset: number | null, status: Status | null}} Entry */

export const KEPT = 360;

/** So many samples wide is a plot of fewer. */
export const LEAST_WIDE = 36;

/** The measurements of all services, the newest last. */
export class History {
  constructor() {
    /** @type {Map<string, {of: string, taken: number, series: Record<string, Values>}>} */
    this.known = new Map();
  }

  /**
   * Tell how many samples to ask for, so that none is missing.
   *
   * @param {number} now Unix seconds.
   * @returns {number} All when there are none.
   */
  missing(now) {
    return this.known.size ? Math.min(KEPT, 2 + Math.ceil((now - this.at) / 5)) : KEPT;
  }

  /**
   * Tell whether another process answers for a service, such as another worker: then all samples are to be asked for.
   *
   * @param {Entry[]} entries The services.
   * @returns {boolean} Whether any does.
   */
  isOfOthers(entries) {
    return entries.some(({ name, status }) => {
      const known = this.known.get(name);
      return status !== null && known !== undefined && known.of !== processOf(status);
    });
  }

  at = 0;

  /**
   * Take what the services say.
   *
   * @param {Entry[]} entries The services.
   * @param {number} now Unix seconds.
   */
  take(entries, now) {
    this.at = now;
    for (const { name, status } of entries) {
      if (status) {
        this.known.set(name, joined(this.known.get(name), status));
      }
    }
  }

  /** @returns {number} How many samples a plot has to show. */
  get wide() {
    const lengths = [...this.known.values()].flatMap(({ series }) =>
      Object.values(series).map((each) => each.length),
    );
    return Math.max(LEAST_WIDE, ...lengths);
  }

  /**
   * @param {string} service Its name.
   * @param {string} measurement Its name.
   * @returns {Values} The values; none if the service has no such.
   */
  values(service, measurement) {
    const found = this.known.get(service) ?? this.known.get(`${service}-1`); // of several msgqueues the first
    return found?.series[measurement] ?? [];
  }
}

/** @param {Status} status @returns {string} The process that answers; another one has counted others. */
const processOf = ({ host, pid, started }) => `${host} ${pid} ${started}`;

/**
 * @param {{of: string, taken: number, series: Record<string, Values>} | undefined} before What is known.
 * @param {Status} status What has come.
 */
function joined(before, status) {
  const of = processOf(status);
  const fresh = before?.of === of ? status.taken - before.taken : KEPT;
  /** @type {Record<string, Values>} */
  const series = {};
  for (const [name, values] of Object.entries(status.series)) {
    const old = before?.of === of ? (before.series[name] ?? []) : [];
    series[name] = fresh > 0 ? [...old, ...values.slice(-fresh)].slice(-KEPT) : old;
  }
  return { of, taken: status.taken, series };
}

/** @param {Values} values @returns {number | undefined} The newest that is known, if it is recent. */
export const newest = (values) =>
  values
    .slice(-3)
    .filter((value) => value !== null)
    .at(-1);

/**
 * Return the lines of a plot: points from left to right, the newest at the right edge.
 *
 * @param {Values[]} lines The values of each.
 * @param {number} wide How many values a plot is wide.
 * @param {number} [least] The upper end of the scale, at least.
 * @returns {{top: number, lines: string[][]}} The upper end, and for each its unbroken parts, as `x,y` in 100 × 100.
 */
export function plot(lines, wide, least = 0) {
  const top = Math.max(least, ...lines.flat().map((value) => value ?? 0)) || 1;
  return { top, lines: lines.map((values) => parts(values, wide, top)) };
}

/** @param {Values} values @param {number} wide @param {number} top @returns {string[]} */
function parts(values, wide, top) {
  /** @type {string[]} */
  const found = [];
  let part = "";
  values.forEach((value, index) => {
    if (value === null) {
      found.push(part);
      part = "";
    } else {
      const x = 100 - ((values.length - 1 - index) * 100) / (wide - 1);
      part += `${x.toFixed(2)},${(100 - (value * 100) / top).toFixed(1)} `;
    }
  });
  return [...found, part].map((each) => each.trim()).filter(Boolean);
}
