// The overview's tables: where lines went and came from, shards, disk, pauses.
import { el, fill, say, Table } from "./dom.js";
import { swatch } from "./chart.js";
import { live, index, rate } from "./live.js";
import { bytes, count, duration, ms, short } from "./format.js";

const TOP = 8;
const words = (name) => name.replaceAll("_", " ");
const card = (title, ...content) => el("section", { class: "card", "aria-label": title }, el("h2", {}, title), ...content);

function meter(node, share) {
  if (!node.firstChild) node.append(el("span", { class: "meter", "aria-hidden": "true" }, el("span")));
  node.firstChild.firstChild.style.width = `${(100 * Math.min(1, share)).toFixed(1)}%`;
}

/// The largest of a `{ name: count }`, and the rest together.
function top(title, noun, find, empty) {
  const table = new Table([
    { title: noun, class: "name-cell", cell: ({ name }) => name, update: (td, { name }) => { say(td, name); td.title = name; } },
    { title: "Lines", num: true, cell: ({ lines }) => count(lines) },
    { title: "Per second", num: true, cell: ({ perSecond }) => (perSecond === null ? "–" : short(Math.round(perSecond))) },
    { title: "Share", class: "bar-cell", cell: () => "", update: (td, { share }) => meter(td, share) },
  ], { caption: title, empty });
  return {
    root: card(title, table.root),
    update(stats) {
      const { named, other } = find(stats);
      const sorted = Object.entries(named).sort((a, b) => b[1] - a[1]);
      const total = sorted.reduce((sum, [, lines]) => sum + lines, other) || 1;
      const rows = sorted.slice(0, TOP).map(([name, lines]) => ({ name, lines, share: lines / total, perSecond: rate((s) => find(s).named[name] ?? 0) }));
      const rest = sorted.slice(TOP).reduce((sum, [, lines]) => sum + lines, other);
      if (rest > 0) rows.push({ name: sorted.length > TOP ? `${sorted.length - TOP} others` : "others", lines: rest, share: rest / total, perSecond: null });
      table.update(rows);
    },
  };
}

function ledger() {
  const terms = ["received", "written", "filtered", "rejected"].map((name) => ({ name, value: el("b", {}, "–") }));
  const signs = ["", "=", "+", "+"];
  const sum = terms.map(({ name, value }, n) => [signs[n] && el("span", { class: "sign", "aria-hidden": "true" }, signs[n]), el("div", { class: "term" }, value, el("span", {}, name))]);
  const state = el("span", { class: "badge", hidden: true });
  const reasons = new Table([
    { title: "Rejected because", cell: ([name]) => words(name) },
    { title: "Lines", num: true, cell: ([, lines]) => count(lines) },
  ], { caption: "Rejected lines by reason", empty: "Nothing was rejected." });
  const root = card("Ledger", el("div", { class: "sum" }, sum), reasons.root);
  root.firstChild.append(state);
  return {
    root,
    update({ ledger }) {
      const values = [ledger.received, ledger.written, ledger.filtered, ledger.rejected.total];
      values.forEach((value, n) => say(terms[n].value, count(value)));
      const isBalanced = values[0] === values[1] + values[2] + values[3];
      say(state, isBalanced ? "balanced" : "does not add up");
      state.dataset.kind = isBalanced ? "good" : "bad";
      state.hidden = false;
      reasons.update(Object.entries(ledger.rejected).filter(([name, lines]) => name !== "total" && lines > 0));
    },
  };
}

function shards() {
  const table = new Table([
    { title: "Shard", cell: ({ n }) => n },
    { title: "Lines", num: true, cell: ({ shard }) => short(shard.ledger.received) },
    { title: "Per second", num: true, cell: ({ n }) => short(Math.round(rate((s) => s.shards[n]?.ledger.received ?? 0) ?? NaN)) },
    { title: "Connections", num: true, cell: ({ shard }) => shard.connections.open },
    { title: "p99", num: true, cell: ({ shard }) => (shard.ledger.received ? ms(shard.latency_received_to_written_ms.p99) : "–") },
    { title: "Share", class: "bar-cell", cell: () => "", update: (td, { share }) => meter(td, share) },
  ], { caption: "Shards" });
  return {
    root: card("Shards", table.root),
    update({ shards }) {
      const total = shards.reduce((sum, shard) => sum + shard.ledger.received, 0) || 1;
      table.update(shards.map((shard, n) => ({ n, shard, share: shard.ledger.received / total })));
    },
  };
}

/// A list of facts: `[title, (stats) => text]`.
function facts(title, rows, ...more) {
  const values = rows.map(() => el("dd", {}, "–"));
  const list = el("dl", { class: "facts" }, rows.map(([name], n) => [el("dt", {}, name), values[n]]));
  return { root: card(title, ...more, list), update: (stats) => rows.forEach(([, value], n) => say(values[n], value(stats))) };
}

const STATES = { archived: "--c-1", sealed: "--c-2", open: "--c-3", meta: "--c-4", temporary: "--c-unknown" };

function disk() {
  const stack = el("div", { class: "stack", "aria-hidden": "true" });
  const parts = Object.entries(STATES).map(([state, colour]) => {
    const part = el("span");
    part.style.background = `var(${colour})`;
    stack.append(part);
    return { state, part };
  });
  const table = new Table([
    { title: "State", cell: ([state]) => el("span", { class: "state-cell" }, swatch(STATES[state]), state) },
    { title: "Bytes", num: true, cell: ([, size]) => bytes(size) },
  ], { caption: "Bytes on disk by state" });
  const sums = facts("", [
    ["Together", (s) => bytes(total(s))],
    ["Free", (s) => bytes(s.store?.disk_free_bytes)],
    ["Grows by", () => { const grows = growth(); return grows ? `${bytes(grows * 3600)}/h` : "–"; }],
    ["Kept at most", ({ store }) => kept(store?.retention)],
    ["Limit reached", untilLimit],
    ["Intake pauses in", untilPause],
  ]);
  return {
    root: card("Disk", stack, table.root, sums.root.lastChild),
    update(stats) {
      const of = stats.store?.disk_bytes ?? {};
      table.update(Object.keys(STATES).filter((state) => of[state] > 0 || state === "archived").map((state) => [state, of[state] ?? 0]));
      parts.forEach(({ state, part }) => { part.style.width = `${(100 * (of[state] ?? 0)) / (total(stats) || 1)}%`; });
      sums.update(stats);
    },
  };
}

const total = (stats) => Object.values(stats.store?.disk_bytes ?? {}).reduce((a, b) => a + b, 0);

/// Bytes per second that archives have grown by, over all samples there are; 0 before there is half a minute of them.
function growth() {
  if (live.samples.length < 30) return 0;
  return live.samples.reduce((sum, sample) => sum + sample[index("archived_bytes")], 0) / live.samples.length;
}

function kept(retention) {
  const limits = [retention?.retain_bytes && bytes(retention.retain_bytes), retention?.retain_seconds && duration(retention.retain_seconds)].filter(Boolean);
  return limits.join(", ") || "no limit";
}

function until(left) {
  if (left <= 0) return "now";
  return growth() > 0 ? `in about ${duration(left / growth())}` : "not at this rate";
}

function untilLimit({ store, ...stats }) {
  const limit = store?.retention.retain_bytes;
  if (!limit) return "–";
  const left = limit - total({ store, ...stats });
  return left <= limit * 0.01 ? "the oldest archives go" : until(left);
}

function untilPause({ store }) {
  if (!store?.disk_free_bytes || !store.disk_min_free_bytes) return "–";
  return until(store.disk_free_bytes - store.disk_min_free_bytes).replace("in about", "about");
}

function pauses() {
  const table = new Table([
    { title: "Waited for", cell: ([name]) => words(name) },
    { title: "Times", num: true, cell: ([, { count: times }]) => count(times) },
    { title: "Together", num: true, cell: ([, { seconds }]) => (seconds >= 1 ? duration(seconds) : ms(seconds * 1000)) },
    { title: "Now", num: true, cell: ([, { now }]) => now || "" },
  ], { caption: "Why intake waited", empty: "Intake has never waited." });
  const reason = el("p", { class: "note" });
  return {
    root: card("Pauses", table.root, reason),
    update(stats) {
      table.update(Object.entries(stats.pauses).filter(([, pause]) => pause.count > 0));
      fill(reason, stats.unready ?? "");
    },
  };
}

const ratio = (store) => (store?.archived_bytes ? (store.archived_raw_bytes / store.archived_bytes).toFixed(2) : "–");

const compression = () => facts("Compression", [
  ["Wait for it", ({ store }) => `${store?.compress_queue ?? "–"} segments`],
  ["Raw on disk", ({ store }) => `${store?.raw_segments ?? "–"} of ${store?.raw_segments_max ?? "–"} segments`],
  ["Archived", ({ store }) => `${count(store?.archived_segments ?? 0)} segments`],
  ["Ratio", ({ store }) => ratio(store)],
  ["Level", ({ store }) => store?.compression_level ?? "–"],
  ["CPU", ({ store }) => duration(store?.compress_cpu_seconds ?? 0)],
  ["Deleted by limits", ({ store }) => `${count(Object.values(store?.retention.deleted_segments ?? {}).reduce((a, b) => a + b, 0))} segments`],
]);

const connections = () => facts("Connections", [
  ["Open", ({ connections: c }) => count(c.open)],
  ["Opened", ({ connections: c }) => count(c.opened)],
  ["Ended by peers", ({ connections: c }) => count(c.closed.by_peer)],
  ["Reset", ({ connections: c }) => count(c.closed.reset)],
  ["Idle for too long", ({ connections: c }) => count(c.closed.idle)],
  ["Refused", ({ connections: c }) => count(c.refused.max_connections)],
  ["RELP lines sent again", ({ connections: c }) => count(c.relp_resends_suppressed)],
]);

const searches = () => facts("Searches", [
  ["Running", ({ searches: s }) => s.running],
  ["Complete", ({ searches: s }) => count(s.ended.complete + s.ended.lines)],
  ["Cut short", ({ searches: s }) => count(s.ended.bytes + s.ended.time)],
  ["Cancelled", ({ searches: s }) => count(s.ended.cancelled)],
  ["Failed", ({ searches: s }) => count(s.ended.failed)],
  ["Told to come back", ({ searches: s }) => count(s.refused)],
]);

/// All of them, each with a `root` and an `update(stats)`.
export const panels = () => [
  ledger(),
  top("Services", "Service", (s) => ({ named: s.services, other: s.services_other }), "No line has named a service."),
  top("Sources", "Source", (s) => ({ named: s.sources, other: s.sources_other }), "No line has come yet."),
  shards(),
  disk(),
  compression(),
  top("Tags", "Tag", (s) => ({ named: s.tags, other: 0 }), "No tags are configured."),
  pauses(),
  connections(),
  searches(),
];
