// Lines that match from now on. They are shown a few times a second, and only as many as anybody could read.
import { url } from "./api.js";
import { readLine } from "./rows.js";

const SHOW_MS = 250;
const BURST_MAX = 200;

export class Tail {
  /// `on.rows(rows)` gets the newest last, `on.missed(lines, bytes)` how many lines were not shown so far and how many bytes were not even looked at, `on.state(text)` what it is doing, `on.failed(error)` a refusal.
  constructor(query, stream, on) {
    Object.assign(this, { on, waiting: [], missed: 0, unread: 0 });
    this.address = url("api/tail", { query, stream: stream === "logs" ? null : stream });
    this.source = new EventSource(this.address);
    this.source.addEventListener("open", () => on.state("Waiting for lines that match"));
    this.source.addEventListener("line", (event) => this.line(event.data));
    this.source.addEventListener("missed", (event) => this.pass(JSON.parse(event.data)));
    this.source.addEventListener("error", () => this.error());
    this.timer = setInterval(() => this.flush(), SHOW_MS);
  }

  line(text) {
    this.waiting.push(text);
    if (this.waiting.length > BURST_MAX) {
      this.waiting.shift();
      this.miss(1);
    }
  }

  miss(lines) {
    this.missed += lines;
  }

  /// The daemon passed lines over because this page was too slow; of what it did not even read it knows no number of lines.
  pass({ lines, unread_bytes: unread }) {
    this.miss(lines);
    this.unread += unread;
  }

  flush() {
    if (this.waiting.length === 0) return;
    this.on.rows(this.waiting.splice(0).map(readLine));
    this.on.missed(this.missed, this.unread);
  }

  /// The browser tries again by itself, unless it was refused: then only a plain request tells why.
  async error() {
    if (this.source.readyState !== EventSource.CLOSED) {
      this.on.state("Connection lost, trying again");
      return;
    }
    this.stop();
    const abort = new AbortController();
    try {
      const response = await fetch(this.address, { signal: abort.signal });
      const text = response.ok ? "" : await response.text();
      let body = {};
      try { body = JSON.parse(text); } catch { /* not JSON */ }
      this.on.failed({ message: body.error ?? (text || "the live tail has ended"), column: body.column, status: response.status });
    } catch {
      this.on.failed({ message: "logboom does not answer", status: 0 });
    }
    abort.abort();
  }

  stop() {
    clearInterval(this.timer);
    this.source.close();
  }
}
