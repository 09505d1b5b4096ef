// The overview: what happens now, the last minutes, and where everything went.
import { el, choice, say } from "./dom.js";
import { TimeChart } from "./chart.js";
import { panels } from "./panels.js";
import { live, onLive, index } from "./live.js";
import { bytes, duration, ms, short } from "./format.js";

const WINDOWS = [["60", "1 min"], ["300", "5 min"], ["900", "15 min"]];
/// The least that charts show.
const MOMENT_MS = 30_000;
const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "unknown"];
let seconds = Number(localStorage.getItem("logboom.window") ?? 300);
let page = null;

const of = (name) => (sample) => sample[index(name)] ?? null;
const last = (name) => live.samples.at(-1)?.[index(name)] ?? null;
/// The last known one: a second without lines has no latency.
const lastKnown = (name) => live.samples.findLast((sample) => sample[index(name)] !== null)?.[index(name)] ?? null;

function latency(title, kind) {
  const series = [["p99.9", "p999", "--c-3"], ["p99", "p99", "--c-2"], ["p50", "p50", "--c-1"]];
  return { title, log: true, format: ms, series: series.map(([name, key, colour]) => ({ name, colour, value: of(`${kind}_${key}`) })) };
}

const CHARTS = [
  { title: "Lines per second", format: short, series: [
    { name: "received", colour: "--c-1", value: of("received") },
    { name: "filtered", colour: "--c-4", value: of("filtered") },
    { name: "rejected", colour: "--c-error", value: of("rejected") },
  ] },
  { title: "Bytes per second", format: bytes, series: [
    { name: "received", colour: "--c-1", value: of("received_bytes") },
    { name: "archived", colour: "--c-2", value: of("archived_bytes") },
  ] },
  latency("Latency, received to written", "written"),
  latency("Latency, received to synced", "synced"),
  { title: "Levels, lines per second", format: short, stacked: true, series: LEVELS.map((name) => ({ name, colour: `--c-${name}`, value: of(name) })) },
  { title: "Segments that wait", format: short, series: [
    { name: "to be compressed", colour: "--c-1", value: of("compress_queue") },
    { name: "raw on disk", colour: "--c-4", value: of("raw_segments") },
  ] },
];

const TILES = [
  ["Lines", () => `${short(last("received"))}/s`],
  ["Bytes", () => `${bytes(last("received_bytes"))}/s`],
  ["Written, p99", () => ms(lastKnown("written_p99"))],
  ["Synced, p99", () => ms(lastKnown("synced_p99"))],
  ["Connections", () => short(live.stats.connections.open)],
  ["On disk", () => bytes(Object.values(live.stats.store?.disk_bytes ?? {}).reduce((a, b) => a + b, 0))],
  ["Up for", () => duration(live.stats.uptime_seconds)],
  ["Version", () => live.stats.version],
];

export const overview = {
  open(main) {
    const charts = CHARTS.map((options) => new TimeChart(options));
    const tiles = TILES.map(([title]) => ({ value: el("dd", {}, "–"), title }));
    const boards = panels();
    const windows = choice("Time shown", WINDOWS, seconds, (value) => {
      seconds = Number(value);
      localStorage.setItem("logboom.window", value);
      this.update();
    });
    main.append(
      el("div", { class: "page-head" }, el("h1", {}, "Overview"), windows.root),
      el("dl", { class: "tiles" }, tiles.map(({ title, value }) => el("div", { class: "tile" }, el("dt", {}, title), value))),
      el("div", { class: "charts" }, charts.map((chart) => chart.root)),
      el("div", { class: "panels" }, boards.map((board) => board.root)),
    );
    page = { charts, tiles, boards, off: null };
    page.off = onLive(() => this.update());
  },

  update() {
    if (!page || !live.stats) return;
    const to = live.samples.at(-1)?.[0] ?? Date.now();
    TILES.forEach(([, value], n) => say(page.tiles[n].value, value()));
    page.boards.forEach((board) => board.update(live.stats));
    // What is not there yet takes no room: a daemon that has just begun fills the charts with what it has.
    const shown = Math.min(seconds * 1000, Math.max(MOMENT_MS, to - (live.samples[0]?.[0] ?? to)));
    if (!document.hidden) page.charts.forEach((chart) => chart.update(live.samples, to - shown, to));
  },

  close() {
    page.off();
    page.charts.forEach((chart) => chart.close());
    page = null;
  },
};
