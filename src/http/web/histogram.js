// Matches over time as bars, by level where that is known. Drag over some of them to zoom in.
import { el, fill, say } from "./dom.js";
import { count, date, clock, clockMs, short, tick, ticks } from "./format.js";
import { colour, redrawn } from "./theme.js";
import { cleared, swatch } from "./chart.js";

const PAD = { top: 6, right: 4, bottom: 20, left: 46 };
const HEIGHT = 110;
const LEVELS = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", "UNKNOWN"];
const SPANS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 10800e3, 21600e3, 43200e3,
  86400e3, 172800e3, 604800e3, 2592000e3, 7776000e3, 31536000e3];

/// The span of a bar, in milliseconds, with which so much time has at most `most` of them.
export const spanFor = (time, most) => SPANS.find((one) => time / one <= most) ?? SPANS.at(-1);

export class Histogram {
  /// `onzoom(from, to)` is told what was dragged over.
  constructor(onzoom) {
    Object.assign(this, { onzoom, bars: [], from: 0, to: 1, span: 1, at: null, drag: null });
    this.canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": "Matches over time. Arrow keys read a bar, Enter zooms into it." });
    this.reading = el("span", { class: "dim", role: "status" });
    this.legend = el("ul", { class: "legend" });
    this.root = el("section", { class: "card histogram", "aria-label": "Matches over time" }, this.canvas, el("div", { class: "histogram-foot" }, this.legend, this.reading));
    const on = (name, listener) => this.canvas.addEventListener(name, listener);
    on("pointerdown", (event) => this.begin(event));
    on("pointermove", (event) => this.move(event.offsetX));
    on("pointerup", (event) => this.end(event.offsetX));
    on("pointercancel", () => { this.drag = null; this.draw(); });
    on("pointerleave", () => { if (!this.drag) this.read(null); });
    on("keydown", (event) => this.key(event));
    this.close = redrawn(this.canvas, () => this.draw());
  }

  /// How many bars there is room for.
  get most() {
    return Math.max(20, Math.min(120, Math.floor((this.canvas.clientWidth - PAD.left) / 9)));
  }

  /// Shows groups of the API, each `{ value, count, levels }`, in bars of `span` milliseconds.
  update(groups, from, to, span) {
    this.bars = groups.map(({ value, count: lines, levels }) => ({ time: Date.parse(value), lines, levels: levels ?? { ANY: lines } })).filter((bar) => Number.isFinite(bar.time));
    const begin = Math.floor(from / span) * span;
    Object.assign(this, { from: begin, to: Math.max(to, ...this.bars.slice(-1).map((bar) => bar.time + span)), span, at: null });
    const seen = LEVELS.filter((level) => this.bars.some((bar) => bar.levels[level]));
    fill(this.legend, seen.map((level) => el("li", {}, swatch(`--c-${level.toLowerCase()}`), level.toLowerCase())));
    this.draw();
  }

  /// Nothing is known yet.
  wait() {
    this.root.setAttribute("aria-busy", "true");
  }

  x(when) {
    return PAD.left + ((when - this.from) / (this.to - this.from)) * (this.canvas.clientWidth - PAD.left - PAD.right);
  }

  when(x) {
    const share = (x - PAD.left) / (this.canvas.clientWidth - PAD.left - PAD.right);
    return this.from + Math.min(1, Math.max(0, share)) * (this.to - this.from);
  }

  begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { from: event.offsetX, to: event.offsetX };
  }

  move(x) {
    if (this.drag) {
      this.drag.to = x;
      const [a, b] = this.dragged();
      say(this.reading, `${this.name(a)} – ${this.name(b)}`);
      this.draw();
    } else {
      const time = Math.floor(this.when(x) / this.span) * this.span;
      this.read(time);
    }
  }

  dragged() {
    return [this.when(Math.min(this.drag.from, this.drag.to)), this.when(Math.max(this.drag.from, this.drag.to))];
  }

  end(x) {
    if (!this.drag) return;
    this.drag.to = x;
    const [a, b] = this.dragged();
    const isClick = Math.abs(this.drag.to - this.drag.from) < 4;
    this.drag = null;
    this.draw();
    if (!isClick) this.zoom(a, b);
  }

  /// To whole milliseconds, at least ten of them.
  zoom(a, b) {
    const [from, to] = [Math.floor(a), Math.ceil(b)];
    this.onzoom(from, Math.max(to, from + 10));
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Enter" && this.at !== null) this.zoom(this.at, this.at + this.span);
    if (!step || this.bars.length === 0) return;
    event.preventDefault();
    const here = this.bars.findIndex((bar) => bar.time === this.at);
    const next = here === -1 ? (step < 0 ? this.bars.length - 1 : 0) : Math.min(this.bars.length - 1, Math.max(0, here + step));
    this.read(this.bars[next].time);
  }

  name(when) {
    return this.span < 1000 ? clockMs(when) : this.to - this.from > 86400e3 ? `${date(when)} ${clock(when)}` : clock(when);
  }

  read(time) {
    this.at = time;
    const bar = this.bars.find((one) => one.time === time);
    say(this.reading, time === null ? "" : `${this.name(time)} – ${this.name(time + this.span)}: ${count(bar?.lines ?? 0)} lines`);
    this.draw();
  }

  draw() {
    this.root.removeAttribute("aria-busy");
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    const context = cleared(this.canvas, width, HEIGHT);
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const most = Math.max(1, ...this.bars.map((bar) => bar.lines));
    const y = (lines) => HEIGHT - PAD.bottom - (lines / most) * (HEIGHT - PAD.top - PAD.bottom);
    this.axes(context, most, y, width);
    for (const bar of this.bars) this.bar(context, bar, y);
    if (this.drag) {
      context.globalAlpha = 0.25;
      context.fillStyle = colour("--accent");
      const [left, right] = [Math.min(this.drag.from, this.drag.to), Math.max(this.drag.from, this.drag.to)];
      context.fillRect(left, PAD.top, right - left, HEIGHT - PAD.top - PAD.bottom);
      context.globalAlpha = 1;
    }
  }

  axes(context, most, y, width) {
    context.fillStyle = colour("--dim");
    context.strokeStyle = colour("--grid");
    context.textAlign = "right";
    for (const mark of most > 1 ? [0, most / 2, most] : [0, 1]) {
      const at = Math.round(y(mark)) + 0.5;
      context.beginPath();
      context.moveTo(PAD.left, at);
      context.lineTo(width - PAD.right, at);
      context.stroke();
      context.fillText(short(Math.round(mark)).replace(/\.0+(?= )/, ""), PAD.left - 6, Math.max(7, at));
    }
    if (this.to <= 1) return;
    context.textAlign = "center";
    const [step, times] = ticks(this.from, this.to, Math.max(2, Math.floor(width / 110)));
    for (const when of times) {
      const at = this.x(when);
      if (at > PAD.left + 16 && at < width - 26) context.fillText(tick(when, step), at, HEIGHT - 7);
    }
  }

  bar(context, bar, y) {
    const [left, right] = [this.x(bar.time), this.x(bar.time + this.span)];
    const width = Math.max(1, right - left - (right - left > 4 ? 1 : 0));
    context.globalAlpha = this.at === null || this.at === bar.time ? 1 : 0.55;
    let below = 0;
    for (const level of ["ANY", ...LEVELS]) {
      const lines = bar.levels[level] ?? 0;
      if (lines === 0) continue;
      context.fillStyle = colour(level === "ANY" ? "--c-1" : `--c-${level.toLowerCase()}`);
      const top = Math.min(y(below + lines), y(below) - (below === 0 ? 1 : 0));
      context.fillRect(left, top, width, y(below) - top);
      below += lines;
    }
    context.globalAlpha = 1;
  }
}
