// The logs page: what is asked stands in the address, so that it can be shared and gone back to; everything else follows from it.
import { el, fill, say, toast } from "./dom.js";
import { getJson, streamLines, url } from "./api.js";
import { Histogram, spanFor } from "./histogram.js";
import { Rows, readRow } from "./rows.js";
import { Tail } from "./tail.js";
import { around, term, withTerm } from "./query.js";
import { bounds, rangePicker, readRange, span, writeRange } from "./range.js";
import { bytes, count, duration } from "./format.js";

const PAGE = 200;
const TAIL_ROWS_MAX = 1000;
const DOWNLOAD_MAX = 100_000;
let page = null;

/// What an address asks for.
function read(params) {
  return { query: params.get("q") ?? "", stream: params.get("stream") === "rejected" ? "rejected" : "logs", isLive: params.get("live") === "1", range: readRange(params) };
}

function write({ query, stream, isLive, range }) {
  const params = new URLSearchParams();
  if (query) params.set("q", query);
  for (const [name, value] of Object.entries(writeRange(range))) params.set(name, value);
  if (stream === "rejected") params.set("stream", stream);
  if (isLive) params.set("live", "1");
  return `#/logs?${params}`;
}

class LogsPage {
  constructor(main) {
    this.input = el("input", { id: "query", class: "mono", type: "search", autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-label": "Query", "aria-describedby": "query-error",
      placeholder: "timeout   level>=warn   service:auth   \"a phrase\"   -healthz" });
    this.button = el("button", { class: "primary search-button" }, "Search");
    this.problem = el("div", { id: "query-error", class: "query-error", role: "alert", hidden: true });
    this.range = rangePicker((range) => this.go({ range }));
    this.stream = el("select", { "aria-label": "Stream", onchange: () => this.go({ stream: this.stream.value }) }, el("option", { value: "logs" }, "Accepted lines"), el("option", { value: "rejected" }, "Rejected lines"));
    this.live = el("button", { type: "button", id: "live", role: "switch", class: "switch", "aria-checked": "false", onclick: () => this.go({ isLive: !this.asked.isLive }) }, "Live tail");
    this.histogram = new Histogram((from, to) => this.go({ range: { range: "custom", from, to } }));
    this.rows = new Rows((field, value, isExcluded) => this.go({ query: withTerm(this.asked.query, term(field, value), isExcluded) }));
    this.status = el("p", { class: "status", role: "status" });
    this.json = el("a", { class: "button quiet-button", download: "logs.jsonl", title: `The first ${count(DOWNLOAD_MAX)} lines, each with its time, level and service` }, "JSON lines");
    this.csv = el("a", { class: "button quiet-button", download: "logs.csv", title: `The first ${count(DOWNLOAD_MAX)} lines: time, level, service, message` }, "CSV");
    this.empty = el("div", { class: "card empty", hidden: true });
    this.more = el("button", { type: "button", class: "more", hidden: true, onclick: () => this.loadMore() }, "Load more");
    this.wrap = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggleWrap() }, "Wrap");
    const search = el("form", { class: "search", role: "search", onsubmit: (event) => this.submit(event) }, this.input, this.button);
    search.addEventListener("keydown", (event) => this.key(event));
    main.append(search, this.problem,
      el("div", { class: "tools" }, this.range.root, this.stream, this.live),
      this.histogram.root,
      this.head = el("div", { class: "results-head" }, this.status, el("div", { class: "results-tools" }, this.wrap, el("button", { type: "button", onclick: () => this.share() }, "Copy link"), this.json, this.csv)),
      this.rows.root, this.empty, this.more);
    main.addEventListener("keydown", this.onKey = (event) => { if (event.key === "Escape" && this.abort) this.stop("Stopped"); });
    this.main = main;
  }

  close() {
    this.end();
    this.histogram.close();
    this.main.removeEventListener("keydown", this.onKey);
  }

  /// Goes to another address; the same one is asked again.
  go(change) {
    const next = write({ ...this.asked, query: this.input.value.trim(), ...change });
    if (next === location.hash) this.ask(this.asked);
    else location.hash = next;
  }

  submit(event) {
    event.preventDefault();
    if (this.abort && this.input.value.trim() === this.asked.query) this.stop("Stopped");
    else this.go({});
  }

  key(event) {
    if (event.key === "ArrowDown" && this.rows.rows.length > 0) {
      event.preventDefault();
      this.rows.focus();
    }
  }

  /// Shows what `asked` asks for.
  ask(asked) {
    this.end();
    this.asked = asked;
    if (this.input.value.trim() !== asked.query) this.input.value = asked.query;
    this.range.set(asked.range);
    this.stream.value = asked.stream;
    this.live.setAttribute("aria-checked", String(asked.isLive));
    this.main.classList.toggle("is-live", asked.isLive);
    this.range.root.inert = asked.isLive;
    for (const [link, format] of [[this.json, "json"], [this.csv, "csv"]]) link.href = url("api/search", { ...this.params(), format, limit: DOWNLOAD_MAX });
    this.showProblem(null);
    this.rows.clear();
    this.more.hidden = this.empty.hidden = true;
    if (asked.isLive) this.tailLines();
    else this.search();
  }

  params() {
    const { query, stream, range } = this.asked;
    return { query, stream: stream === "logs" ? null : stream, ...bounds(range) };
  }

  async search() {
    const abort = this.abort = new AbortController();
    const begun = performance.now();
    this.total = null;
    this.isWhole = false;
    this.busy(true);
    say(this.status, "Searching");
    this.histogram.wait();
    // Both run at once, and whichever fails first: none is left without somebody to hear of it.
    const counted = this.count(abort.signal).then(() => null, (error) => error);
    try {
      await this.fetchRows({ limit: PAGE }, abort.signal, () => true);
      const failure = await counted;
      if (failure) throw failure;
      this.finish(begun);
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
      abort.abort();
      await counted;
    } finally {
      if (this.abort === abort) this.busy(false);
    }
  }

  /// Rows as they come, of which `isNew` lets through those that are not shown yet.
  async fetchRows(params, signal, isNew) {
    let got = 0;
    const isWhole = await streamLines("api/search", { ...this.params(), ...params, format: "json" }, signal, (lines) => {
      if (signal.aborted) return;
      const rows = lines.filter((line) => line !== "").map(readRow);
      got += rows.length;
      this.rows.append(rows.filter(isNew));
      this.showStatus();
    });
    if (signal.aborted) throw new DOMException("aborted", "AbortError");
    this.isCut = !isWhole;
    this.isWhole = isWhole && got < params.limit;
    this.more.hidden = this.isWhole || this.isCut || this.rows.rows.length === 0;
  }

  /// The histogram, and how many lines match.
  async count(signal) {
    const ask = (by) => getJson("api/search", { ...this.params(), by, split: "level" }, signal);
    let range = span(this.asked.range);
    if (!range) {
      // All of it: which days have lines, then those days in bars of the right width.
      const days = await ask("24h");
      const times = days.groups.map(({ value }) => Date.parse(value)).filter(Number.isFinite);
      range = times.length > 0 ? [times[0], times.at(-1) + 86400e3] : [Date.now() - 86400e3, Date.now()];
    }
    const step = spanFor(range[1] - range[0], this.histogram.most);
    const counts = await ask(`${step}ms`);
    this.total = counts;
    this.histogram.update(counts.groups, ...range, step);
    this.showStatus();
  }

  showStatus() {
    const shown = this.rows.rows.length;
    const total = this.total && `${count(this.total.total)}${this.total.complete ? "" : " or more"}`;
    say(this.status, total ? `${total} ${this.total.total === 1 ? "match" : "matches"}, ${count(shown)} shown, newest first` : `${count(shown)} shown, newest first`);
  }

  finish(begun) {
    const shown = this.rows.rows.length;
    if (shown === 0) return this.showEmpty();
    this.showStatus();
    const cut = this.isCut ? ". The search was cut short: narrow the time or the query" : "";
    this.status.append(` · ${duration((performance.now() - begun) / 1000)}${cut}`);
  }

  showEmpty() {
    say(this.status, this.isCut ? "The search was cut short" : "No match");
    const { range, query } = this.asked;
    const wider = range.range !== "all" && el("button", { type: "button", onclick: () => this.go({ range: { range: "all" } }) }, "Look in all of the time");
    fill(this.empty, el("strong", {}, this.isCut ? "Not everything could be looked at" : query ? "No line matches" : "No lines in this time"),
      el("p", {}, query ? "Words match whole words: time* also finds timeouts. ? shows the query language." : "Lines are found by their own time."), wider && el("p", {}, wider));
    this.empty.hidden = false;
  }

  fail(error) {
    say(this.status, "");
    if (error.status === 400) return this.showProblem(error);
    fill(this.empty, el("strong", { class: "error" }, [429, 503].includes(error.status) ? "Not now" : "The search failed"), el("p", {}, error.message),
      el("p", {}, el("button", { type: "button", onclick: () => this.ask(this.asked) }, "Try again")));
    this.empty.hidden = false;
  }

  /// A query that can't be read, with the place where.
  showProblem(error) {
    this.problem.hidden = error === null;
    this.head.hidden = error !== null;
    this.histogram.root.hidden = error !== null || this.asked.isLive;
    this.input.toggleAttribute("aria-invalid", error !== null);
    if (error === null) return;
    if (!error.column) return fill(this.problem, error.message);
    const [before, at, after] = around(this.asked.query, error.column);
    fill(this.problem, el("code", {}, before, el("mark", {}, at), after), el("span", {}, `column ${error.column}: ${error.message}`));
  }

  /// The next page: up to the time of the last row, without those of that time which are shown.
  async loadMore() {
    const last = this.rows.rows.at(-1);
    const shown = new Map();
    for (const row of this.rows.rows) if (row.time === last.time) shown.set(row.raw, (shown.get(row.raw) ?? 0) + 1);
    const isNew = (row) => {
      const left = row.time === last.time ? shown.get(row.raw) ?? 0 : 0;
      if (left > 0) shown.set(row.raw, left - 1);
      return left === 0;
    };
    const limit = Math.min(DOWNLOAD_MAX, PAGE + [...shown.values()].reduce((sum, n) => sum + n, 0));
    const abort = this.abort = new AbortController();
    this.busy(true);
    try {
      await this.fetchRows({ until: last.time, limit }, abort.signal, isNew);
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
    } finally {
      if (this.abort === abort) this.busy(false);
    }
  }

  tailLines() {
    say(this.status, "Connecting");
    let state = "";
    let shown = 0;
    const show = (missed, unread) => say(this.status, [`Live: ${count(shown)} lines`, missed && `${count(missed)} more came too fast to show`, unread && `${bytes(unread)} were not looked at`].filter(Boolean).join(", "));
    this.tail = new Tail(this.asked.query, this.asked.stream, {
      rows: (rows) => { shown += rows.length; this.rows.prepend(rows, TAIL_ROWS_MAX); },
      missed: show,
      state: (text) => { state = text; if (shown === 0 || text.startsWith("Connection")) say(this.status, state); },
      failed: (error) => { this.fail(error); this.live.setAttribute("aria-checked", "false"); },
    });
  }

  busy(isBusy) {
    this.button.textContent = isBusy ? "Stop" : "Search";
    this.main.toggleAttribute("aria-busy", isBusy);
    if (!isBusy) this.abort = null;
  }

  stop(why) {
    this.end();
    say(this.status, `${why}. ${count(this.rows.rows.length)} shown`);
  }

  /// Ends what runs: the daemon stops working on it.
  end() {
    this.abort?.abort();
    this.tail?.stop();
    this.tail = null;
    this.busy(false);
  }

  /// An address that shows the same later: with times instead of "the last hour".
  async share() {
    const range = span(this.asked.range);
    const fixed = range ? { range: "custom", from: Math.floor(range[0]), to: Math.ceil(range[1]) } : this.asked.range;
    const link = new URL(write({ ...this.asked, isLive: false, range: fixed }), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      toast("Link copied");
    } catch {
      location.hash = new URL(link).hash;
      toast("The link is in the address bar");
    }
  }

  toggleWrap() {
    const isWrapped = this.rows.table.classList.toggle("wrapped");
    this.wrap.setAttribute("aria-pressed", String(isWrapped));
  }
}

export const logs = {
  open(main, params) {
    page = new LogsPage(main);
    page.ask(read(params));
  },
  change: (params) => page.ask(read(params)),
  close() {
    page.close();
    page = null;
  },
};
