// The files page: every segment, what it holds and how well it was compressed.
import { el, fill, say, Table } from "./dom.js";
import { getJson } from "./api.js";
import { bytes, count, dateTime, duration } from "./format.js";

const REFRESH_MS = 10_000;
const KINDS = { open: "accent", sealed: "warn", archived: "good" };
let page = null;

const time = (text) => (text ? dateTime(Date.parse(text)) : "–");

function lasts({ first, last }) {
  return first && last ? duration(Math.max(0, (Date.parse(last) - Date.parse(first)) / 1000)) : "–";
}

const ratio = ({ state, raw_bytes: raw, stored_bytes: stored }) => (state === "archived" && raw ? (raw / stored).toFixed(2) : "–");

const COLUMNS = [
  { title: "File", class: "mono", cell: ({ name }) => el("a", { href: `api/segments/${encodeURIComponent(name)}`, download: name, title: "Download" }, name) },
  { title: "State", cell: ({ state }) => el("span", { class: "badge", data: { kind: KINDS[state] } }, state) },
  { title: "Stream", cell: ({ stream }) => stream },
  { title: "Shard", num: true, cell: ({ shard }) => shard },
  { title: "First line", cell: ({ first }) => time(first), class: "num-left" },
  { title: "Last line", cell: ({ last }) => time(last), class: "num-left" },
  { title: "Spans", num: true, cell: lasts },
  { title: "Lines", num: true, cell: ({ lines }) => (lines === null ? "–" : count(lines)) },
  { title: "Raw", num: true, cell: ({ raw_bytes: raw }) => bytes(raw) },
  { title: "Stored", num: true, cell: ({ stored_bytes: stored }) => bytes(stored) },
  { title: "Ratio", num: true, cell: ratio },
];

class FilesPage {
  constructor(main) {
    this.rows = [];
    this.next = null;
    this.status = el("p", { class: "status", role: "status" }, "Loading");
    this.stream = el("select", { "aria-label": "Stream", onchange: () => this.load() },
      el("option", { value: "" }, "Both streams"), el("option", { value: "accepted" }, "Accepted lines"), el("option", { value: "rejected" }, "Rejected lines"));
    this.table = new Table(COLUMNS, { caption: "Segments", empty: "No segments" });
    this.card = el("div", { class: "card files" }, this.table.root);
    this.card.hidden = true;
    this.empty = el("div", { class: "card empty", hidden: true });
    this.more = el("button", { type: "button", class: "more", hidden: true, onclick: () => this.load(this.next) }, "Load more");
    main.append(el("div", { class: "page-head" }, el("h1", {}, "Files"), this.status, this.stream), this.card, this.empty, this.more);
    // Only what is on the first page changes by itself, and nobody wants to lose their place.
    this.timer = setInterval(() => { if (!document.hidden && this.rows.length <= 110 && !getSelection().toString()) this.load(); }, REFRESH_MS);
    this.load();
  }

  async load(before = null) {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    try {
      const answer = await getJson("api/segments", { before, stream: this.stream.value }, signal);
      this.rows = before ? [...this.rows, ...answer.segments] : answer.segments;
      this.next = answer.next;
      this.show(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      say(this.status, "");
      fill(this.empty, el("strong", { class: "error" }, "The files can't be listed"), el("p", {}, error.message), el("p", {}, el("button", { type: "button", onclick: () => this.load() }, "Try again")));
      this.empty.hidden = false;
    }
  }

  show({ open, sealed_or_archived: done }) {
    say(this.status, `${count(open)} open, ${count(done)} sealed or archived; ${count(this.rows.length)} shown, the newest first`);
    this.card.hidden = this.rows.length === 0;
    this.empty.hidden = this.rows.length > 0;
    fill(this.empty, el("strong", {}, "No files yet"), el("p", {}, "The first line makes the first segment."));
    this.more.hidden = this.next === null;
    this.table.update(this.rows);
  }

  close() {
    clearInterval(this.timer);
    this.abort?.abort();
  }
}

export const files = {
  open(main) { page = new FilesPage(main); },
  close() { page.close(); page = null; },
};
