// The list of lines: a table whose rows open, walked with arrow keys.
import { el } from "./dom.js";
import { clockMs, date } from "./format.js";
import { Literal, parseExactly } from "./api.js";
import { fieldView } from "./fields.js";

const TIME_KEYS = ["timestamp", "@timestamp", "ts", "time"];
const LEVEL_KEYS = ["level", "severity", "lvl", "log.level"];
const SERVICE_KEYS = ["service", "service.name", "app", "logger"];
const LEVELS = { t: "TRACE", v: "TRACE", d: "DEBUG", i: "INFO", n: "INFO", w: "WARN", e: "ERROR", f: "FATAL", c: "FATAL", a: "FATAL", p: "FATAL" };

const UNREAD = { time: null, when: NaN, level: "UNKNOWN", service: null, record: null };

/// A row of the API's JSON.
export function readRow(text) {
  const marker = "\"record\":";
  try {
    const row = parseExactly(text);
    return { ...row, when: Date.parse(row.time), raw: text.slice(text.indexOf(marker) + marker.length, -1) };
  } catch { return { ...UNREAD, raw: text }; }
}

/// A stored line as it is, of which time, level and service are guessed as the daemon would. It is anybody's: any member may be anything.
export function readLine(text) {
  let record = null;
  try { record = parseExactly(text); } catch { return { ...UNREAD, raw: text }; }
  const first = (keys) => keys.map((key) => record?.[key]).find((value) => typeof value === "string" || typeof value === "number" || value instanceof Literal);
  const time = first(TIME_KEYS);
  const epoch = Number(time);
  const when = typeof time === "string" ? Date.parse(time) : epoch * (epoch < 1e11 ? 1e3 : epoch < 1e14 ? 1 : epoch < 1e17 ? 1e-3 : 1e-6);
  const date = new Date(when);
  const isDated = Number.isFinite(date.getTime());
  const level = LEVELS[String(first(LEVEL_KEYS) ?? "")[0]?.toLowerCase()] ?? "UNKNOWN";
  return { time: isDated ? date.toISOString() : null, when: date.getTime(), level, service: first(SERVICE_KEYS) ?? null, record, raw: text };
}

function message(row) {
  const text = row.record?.message ?? row.record?.msg;
  return typeof text === "string" ? text : row.raw;
}

export class Rows {
  /// `onfilter(field, value, isExcluded)` is told of a click on a value.
  constructor(onfilter) {
    this.onfilter = onfilter;
    this.rows = [];
    this.body = el("tbody");
    const head = ["Time", "Level", "Service", "Message"].map((title) => el("th", { scope: "col" }, title));
    this.table = el("table", { class: "lines" }, el("caption", { class: "visually-hidden" }, "Lines, the newest first. Arrow keys walk, Enter shows fields."), el("thead", {}, el("tr", {}, head)), this.body);
    this.root = el("div", { class: "card lines-card", hidden: true }, this.table);
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  clear() {
    this.rows = [];
    this.body.replaceChildren();
    this.root.hidden = true;
  }

  /// Adds rows at the end.
  append(rows) {
    this.rows.push(...rows);
    this.body.append(...rows.map((row) => this.line(row)));
    this.shown();
  }

  /// Adds rows before the first, the newest last, and keeps `most` of all.
  prepend(rows, most) {
    this.rows.unshift(...rows.toReversed());
    this.body.prepend(...rows.map((row) => this.line(row)).reverse());
    for (const row of this.rows.splice(most)) {
      if (row.tr.nextSibling?.classList.contains("detail")) row.tr.nextSibling.remove();
      row.tr.remove();
    }
    this.shown();
  }

  shown() {
    this.root.hidden = this.rows.length === 0;
    if (!this.body.querySelector("tr[tabindex='0']") && this.rows.length > 0) this.rows[0].tr.tabIndex = 0;
  }

  line(row) {
    const level = row.level.toLowerCase();
    const isDated = Number.isFinite(row.when);
    row.tr = el("tr", { class: "line", tabindex: "-1", "aria-expanded": "false", data: { level } },
      el("td", { class: "time mono" }, isDated && el("span", { class: "dim" }, date(row.when)), isDated && " ", isDated ? clockMs(row.when) : "–"),
      el("td", { class: `level lv-${level}` }, row.level === "UNKNOWN" ? "–" : row.level),
      el("td", { class: "service" }, row.service ?? ""),
      el("td", { class: "message mono" }, message(row)));
    row.tr.row = row;
    return row.tr;
  }

  click(event) {
    const tr = event.target.closest("tr.line");
    // Marking text is no click.
    if (!tr || getSelection().toString() !== "") return;
    this.focus(tr);
    this.toggle(tr);
  }

  key(event) {
    const tr = event.target.closest("tr.line");
    if (event.key === "Escape" && event.target.closest(".detail")) {
      const line = event.target.closest(".detail").previousSibling;
      this.toggle(line, false);
      this.focus(line);
      return;
    }
    if (!tr || event.target !== tr) return;
    const actions = {
      ArrowDown: () => this.walk(tr, "nextSibling"),
      ArrowUp: () => this.walk(tr, "previousSibling"),
      ArrowRight: () => this.toggle(tr, true),
      ArrowLeft: () => this.toggle(tr, false),
      Enter: () => this.toggle(tr),
      " ": () => this.toggle(tr),
      Home: () => this.focus(this.rows[0].tr),
      End: () => this.focus(this.rows.at(-1).tr),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  walk(tr, to) {
    let next = tr[to];
    while (next && !next.classList.contains("line")) next = next[to];
    if (next) this.focus(next);
    else if (to === "previousSibling") document.getElementById("query")?.focus();
  }

  focus(tr = this.rows[0]?.tr) {
    if (!tr) return;
    this.body.querySelector("tr[tabindex='0']")?.setAttribute("tabindex", "-1");
    tr.tabIndex = 0;
    tr.focus();
    tr.scrollIntoView({ block: "nearest" });
  }

  toggle(tr, wanted = tr.getAttribute("aria-expanded") !== "true") {
    if (wanted === (tr.getAttribute("aria-expanded") === "true")) return;
    tr.setAttribute("aria-expanded", String(wanted));
    if (wanted) tr.after(el("tr", { class: "detail" }, el("td", { colspan: "4" }, fieldView(tr.row, this.onfilter))));
    else tr.nextSibling.remove();
  }
}
