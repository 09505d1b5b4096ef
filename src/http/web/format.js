// Numbers, sizes and times as people read them. Widths stay stable, units are always there.

const exact = new Intl.NumberFormat("en");

/// 1,234,567
export const count = (n) => exact.format(Math.round(n));

/// Three significant digits: 12.3 k, 1.20 M.
export function short(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (Math.abs(n) >= size) return `${digits(n / size)} ${unit}`;
  }
  return Number.isInteger(n) ? String(n) : digits(n);
}

/// 1.23 MB (powers of ten, like the daemon's own sizes).
export function bytes(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "–";
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (Math.abs(n) >= size) return `${digits(n / size)} ${unit}`;
  }
  return `${Math.round(n)} B`;
}

/// 0.41 ms, 1.20 s
export function ms(n) {
  if (n === null || n === undefined || !Number.isFinite(n)) return "–";
  if (n >= 1000) return `${digits(n / 1000)} s`;
  return n < 1 ? `${n.toFixed(2)} ms` : `${digits(n)} ms`;
}

function digits(n) {
  const size = Math.abs(n);
  return size >= 99.95 ? n.toFixed(0) : size >= 9.995 ? n.toFixed(1) : n.toFixed(2);
}

/// 3 d 4 h, 2 min 5 s: the two largest units.
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  const parts = [];
  let left = Math.floor(seconds);
  for (const [unit, size] of [["y", 31557600], ["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const n = Math.floor(left / size);
    if (n > 0 || parts.length > 0) parts.push([n, unit]);
    left -= n * size;
    if (parts.length === 2) break;
  }
  return parts.filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ") || "0 s";
}

export const percent = (share) => `${(100 * share).toFixed(share >= 0.0995 ? 0 : 1)} %`;

/// Whether times are shown in UTC; kept by the browser.
export const zone = {
  isUtc: localStorage.getItem("logboom.zone") === "utc",
  set(isUtc) {
    zone.isUtc = isUtc;
    localStorage.setItem("logboom.zone", isUtc ? "utc" : "local");
  },
};

const pad = (n, width = 2) => String(n).padStart(width, "0");

/// Year, month … milliseconds of `when` in the zone that is shown.
export function parts(when) {
  const d = new Date(when);
  return zone.isUtc
    ? [d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds(), d.getUTCMilliseconds()]
    : [d.getFullYear(), d.getMonth() + 1, d.getDate(), d.getHours(), d.getMinutes(), d.getSeconds(), d.getMilliseconds()];
}

/// 2026-11-24
export function date(when) {
  const [year, month, day] = parts(when);
  return `${pad(year, 4)}-${pad(month)}-${pad(day)}`;
}

/// 15:04:05
export function clock(when) {
  const [, , , hour, minute, second] = parts(when);
  return `${pad(hour)}:${pad(minute)}:${pad(second)}`;
}

/// 15:04:05.123
export const clockMs = (when) => `${clock(when)}.${pad(parts(when)[6], 3)}`;

/// 2026-11-24 15:04:05
export const dateTime = (when) => `${date(when)} ${clock(when)}`;

/// A label on an axis whose ticks are `step` milliseconds apart.
export function tick(when, step) {
  const [year, month, day, hour, minute] = parts(when);
  if (step < 1000) return clockMs(when).slice(3);
  if (step < 60e3) return clock(when);
  if (step < 86400e3) return hour === 0 && minute === 0 ? `${pad(month)}-${pad(day)}` : `${pad(hour)}:${pad(minute)}`;
  return step < 250 * 86400e3 ? `${pad(year, 4)}-${pad(month)}-${pad(day)}` : String(year);
}

/// Ticks between two times, at most `most`, at round times of the zone that is shown: `[step, [time, …]]`.
export function ticks(from, to, most) {
  const day = 86400e3;
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10800e3, 21600e3, 43200e3,
    day, 2 * day, 7 * day, 14 * day, 30 * day, 90 * day, 180 * day, 365.25 * day, 730.5 * day, 1826.25 * day];
  const step = steps.find((one) => (to - from) / one <= most) ?? steps.at(-1) * Math.ceil((to - from) / steps.at(-1) / most);
  const shift = zone.isUtc ? 0 : new Date(from).getTimezoneOffset() * 60e3;
  const found = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) found.push(at);
  return [step, found];
}
