// Which time is looked at: the last so much, all of it, or from here to there.
import { el, choice, fill } from "./dom.js";
import { dateTime, parts, zone } from "./format.js";
import { daemonNow } from "./api.js";

const MINUTE = 60e3;
const LAST = { "15m": 15 * MINUTE, "1h": 60 * MINUTE, "24h": 1440 * MINUTE, "7d": 10080 * MINUTE };
const OPTIONS = [["15m", "15 m"], ["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"], ["all", "All"], ["custom", "Custom"]];

/// What an address says: `{ range }`, or `{ range: "custom", from, to }` in milliseconds.
export function readRange(params) {
  const [from, to] = [Date.parse(params.get("from")), Date.parse(params.get("to"))];
  if (Number.isFinite(from) && Number.isFinite(to) && from < to) return { range: "custom", from, to };
  const range = params.get("range");
  return { range: range === "all" || Object.hasOwn(LAST, range) ? range : "1h" };
}

/// The same for an address.
export function writeRange({ range, from, to }) {
  return range === "custom" ? { from: new Date(from).toISOString(), to: new Date(to).toISOString() } : { range };
}

/// For the API: the daemon's clock decides what the last hour is.
export function bounds({ range, from, to }) {
  if (range === "custom") return { since: new Date(from).toISOString(), until: new Date(to).toISOString() };
  return range === "all" ? {} : { since: range, until: "now" };
}

/// From and to in milliseconds; `null` for all of it.
export function span({ range, from, to }) {
  if (range === "custom") return [from, to];
  if (range === "all") return null;
  const now = daemonNow();
  return [now - LAST[range], now];
}

/// As an input of type datetime-local has it, in the zone that is shown.
function local(when) {
  const [year, month, day, hour, minute, second] = parts(when).map((n) => String(n).padStart(2, "0"));
  return `${year.padStart(4, "0")}-${month}-${day}T${hour}:${minute}:${second}`;
}

const read = (text) => Date.parse(zone.isUtc ? `${text}Z` : text);

/// The picker. `onchange(range)` is told of another choice.
export function rangePicker(onchange) {
  let range = { range: "1h" };
  const from = el("input", { type: "datetime-local", step: "1", "aria-label": "From" });
  const to = el("input", { type: "datetime-local", step: "1", "aria-label": "To" });
  const problem = el("span", { class: "error", role: "alert" });
  const form = el("form", { class: "custom", hidden: true, onsubmit: submit }, from, el("span", { class: "dim" }, "to"), to,
    el("span", { class: "dim" }, zone.isUtc ? "UTC" : "local time"), el("button", { class: "primary" }, "Apply"), problem);
  const label = el("button", { type: "button", class: "quiet", hidden: true, title: "Twice the time around it", onclick: widen });
  const group = choice("Time", OPTIONS, "1h", (value) => {
    if (value !== "custom") return onchange({ range: value });
    group.set(range.range);
    const [a, b] = span(range) ?? [daemonNow() - LAST["24h"], daemonNow()];
    Object.assign(from, { value: local(a) });
    Object.assign(to, { value: local(b) });
    form.hidden = !form.hidden;
    if (!form.hidden) from.focus();
  });

  function submit(event) {
    event.preventDefault();
    const [a, b] = [read(from.value), read(to.value)];
    const isRight = Number.isFinite(a) && Number.isFinite(b) && a < b;
    fill(problem, isRight ? "" : "The first must be before the second.");
    if (!isRight) return;
    form.hidden = true;
    onchange({ range: "custom", from: a, to: b });
  }

  function widen() {
    const half = (range.to - range.from) / 2;
    onchange({ range: "custom", from: range.from - half, to: range.to + half });
  }

  return {
    root: el("div", { class: "range" }, group.root, label, form),
    set(next) {
      range = next;
      group.set(range.range);
      label.hidden = range.range !== "custom";
      if (range.range === "custom") fill(label, `${dateTime(range.from)} – ${dateTime(range.to)}`, el("span", { class: "badge" }, "zoom out"));
    },
  };
}
