/**
 * Numbers, sizes and times as people read them.
 *
 * @module
 */

export const UNKNOWN = "-";

/** @param {number} value @returns {string} As `0.3`, `950`, `12.3 k`. */
export function number(value) {
  for (const [least, unit] of /** @type {[number, string][]} */ ([
    [1e9, "G"],
    [1e6, "M"],
  ])) {
    if (value >= least) {
      return `${(value / least).toFixed(1)} ${unit}`;
    }
  }
  if (value >= 1e4) {
    return `${(value / 1e3).toFixed(1)} k`;
  }
  return value >= 10 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}

/** @param {number} value @returns {string} A number of bytes. */
export function size(value) {
  let left = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (left < 1024) {
      return unit === "B" || left >= 100 ? `${left.toFixed(0)} ${unit}` : `${left.toFixed(1)} ${unit}`;
    }
    left /= 1024;
  }
  return `${left.toFixed(1)} TiB`;
}

/** @param {number} value @returns {string} A short time, in seconds. */
export const seconds = (value) => (value < 1 ? `${(value * 1000).toFixed(1)} ms` : `${value.toFixed(1)} s`);

/** @param {number} value @returns {string} A share, of 1. */
export const percent = (value) => `${(value * 100).toFixed(0)} %`;

/** @param {number} value @returns {string} A long time, in seconds, by its largest unit. */
export function duration(value) {
  for (const [unit, length] of /** @type {[string, number][]} */ ([
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
  ])) {
    if (value >= length) {
      return `${Math.round(value / length)} ${unit}`;
    }
  }
  return `${Math.round(value)} s`;
}

/** @param {number} milliseconds Unix time. @returns {string} Date and time of day, to the second, in UTC. */
export const moment = (milliseconds) => new Date(milliseconds).toISOString().replace("T", " ").slice(0, 19);
