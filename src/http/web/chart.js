// Lines or stacked areas over time on a canvas: sharp at any pixel ratio, gaps where there was nothing, read by pointer or arrow keys.
import { el, say } from "./dom.js";
import { clock, tick, ticks } from "./format.js";
import { colour, redrawn } from "./theme.js";

const PAD = { top: 8, right: 8, bottom: 20, left: 58 };
const HEIGHT = 150;
/// Two values further apart than this have a gap between them: more than a second without one, which comes about where something happens once a second.
const GAP_MS = 2600;

/// `series`: `{ name, colour: "--c-1", value: (sample) => number | null }`. `format` writes a value; `log` for what spans orders of magnitude.
export class TimeChart {
  constructor({ title, series, format, stacked = false, log = false }) {
    Object.assign(this, { series, format, stacked, log, samples: [], from: 0, to: 1, at: null });
    this.canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": title });
    this.when = el("span", { class: "dim chart-when" });
    this.values = series.map((one) => el("span", { class: "legend-value" }, "–"));
    const legend = series.map((one, n) => el("li", {}, swatch(one.colour), one.name, this.values[n]));
    this.root = el("section", { class: "card chart", "aria-label": title }, el("h2", {}, title, this.when), this.canvas, el("ul", { class: "legend" }, legend));
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => this.read(null));
    this.canvas.addEventListener("blur", () => this.read(null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.close = redrawn(this.canvas, () => this.draw());
  }

  /// Shows what of `samples` lies between two times.
  update(samples, from, to) {
    const reading = this.at === null ? null : this.samples[this.at]?.[0];
    this.samples = samples.filter((sample) => from - 1000 <= sample[0] && sample[0] <= to + 1000);
    Object.assign(this, { from, to });
    this.at = reading === null ? null : this.samples.findIndex((sample) => sample[0] === reading);
    if (this.at === -1) this.at = null;
    this.draw();
  }

  point(x) {
    const when = this.from + ((x - PAD.left) / (this.width - PAD.left - PAD.right)) * (this.to - this.from);
    let best = null;
    this.samples.forEach((sample, at) => {
      if (best === null || Math.abs(sample[0] - when) < Math.abs(this.samples[best][0] - when)) best = at;
    });
    this.read(best);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || this.samples.length === 0) return;
    event.preventDefault();
    const last = this.samples.length - 1;
    this.read(Math.min(last, Math.max(0, (this.at ?? last + (step < 0 ? 1 : 0)) + step)));
  }

  read(at) {
    this.at = at;
    this.draw();
  }

  showValues() {
    const sample = this.samples[this.at ?? this.samples.length - 1];
    this.series.forEach((one, n) => say(this.values[n], sample ? this.format(one.value(sample)) : "–"));
    say(this.when, this.at === null || !sample ? "" : clock(sample[0]));
  }

  draw() {
    this.showValues();
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    this.width = width;
    const context = cleared(this.canvas, width, HEIGHT);
    const x = (when) => PAD.left + ((when - this.from) / (this.to - this.from)) * (width - PAD.left - PAD.right);
    const scale = this.scale();
    const y = (value) => HEIGHT - PAD.bottom - scale.place(value) * (HEIGHT - PAD.top - PAD.bottom);
    this.axes(context, x, y, scale);
    context.save();
    context.beginPath();
    context.rect(PAD.left, 0, width - PAD.left - PAD.right, HEIGHT);
    context.clip();
    if (this.stacked) this.areas(context, x, y);
    else this.lines(context, x, y);
    context.restore();
    if (this.at !== null && this.samples[this.at]) this.marker(context, x(this.samples[this.at][0]), y);
    if (this.to > 1 && !this.samples.some((sample) => this.series.some((one) => one.value(sample) !== null))) {
      context.fillStyle = colour("--dim");
      context.textAlign = "center";
      context.fillText("no data in this time", PAD.left + (width - PAD.left - PAD.right) / 2, HEIGHT / 2 - 6);
    }
  }

  /// From values to 0…1, and where the ticks are.
  scale() {
    let [low, high] = [Infinity, 0];
    for (const sample of this.samples) {
      const values = this.series.map((one) => one.value(sample)).filter((value) => value !== null && value > 0);
      const sum = values.reduce((a, b) => a + b, 0);
      high = Math.max(high, this.stacked ? sum : Math.max(0, ...values));
      low = Math.min(low, ...values);
    }
    if (this.log) {
      const [bottom, top] = high > 0 ? [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high * 1.01))] : [-1, 2];
      const step = Math.max(1, Math.ceil((top - bottom) / 4));
      const marks = [];
      for (let power = bottom; power <= top; power += step) marks.push(10 ** power);
      return { place: (value) => (Math.log10(Math.max(value, 1e-9)) - bottom) / (top - bottom), marks };
    }
    const rough = Math.max(high, 1) / 3;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((one) => rough <= one);
    const top = Math.max(step * Math.ceil(Math.max(high, 1) / step), step);
    const marks = [];
    for (let value = 0; value <= top * 1.001; value += step) marks.push(value);
    return { place: (value) => value / top, marks };
  }

  axes(context, x, y, scale) {
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.fillStyle = colour("--dim");
    context.strokeStyle = colour("--grid");
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const mark of scale.marks) {
      const at = Math.round(y(mark)) + 0.5;
      stroke(context, [[PAD.left, at], [this.width - PAD.right, at]]);
      context.fillText(this.format(mark).replace(/\.0+(?= )/, ""), PAD.left - 8, at);
    }
    if (this.to <= 1) return;
    context.textAlign = "center";
    const [step, times] = ticks(this.from, this.to, Math.max(2, Math.floor(this.width / 110)));
    for (const when of times) {
      const at = x(when);
      if (at > PAD.left + 16 && at < this.width - 22) context.fillText(tick(when, step), at, HEIGHT - 7);
    }
  }

  /// Runs of samples without a gap that have a value.
  runs(value) {
    const runs = [];
    for (const sample of this.samples) {
      const here = value(sample);
      if (here === null) continue;
      const before = runs.at(-1)?.at(-1)[0];
      if (before === undefined || sample[0] - before > GAP_MS) runs.push([]);
      runs.at(-1).push([sample[0], here]);
    }
    return runs;
  }

  lines(context, x, y) {
    for (const one of [...this.series].reverse()) {
      context.strokeStyle = context.fillStyle = colour(one.colour);
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      for (const run of this.runs(one.value)) {
        const points = run.map(([when, value]) => [x(when), y(value)]);
        stroke(context, points);
        if (points.length === 1) dot(context, points[0]);
      }
    }
  }

  areas(context, x, y) {
    const sum = (sample, upto) => this.series.slice(0, upto + 1).reduce((total, one) => total + (one.value(sample) ?? 0), 0);
    for (let n = this.series.length - 1; n >= 0; n--) {
      context.fillStyle = colour(this.series[n].colour);
      for (const run of this.runs((sample) => sum(sample, n))) {
        context.beginPath();
        context.moveTo(x(run[0][0]), y(0));
        run.forEach(([when, value]) => context.lineTo(x(when), y(value)));
        context.lineTo(x(run.at(-1)[0]), y(0));
        context.fill();
      }
    }
  }

  marker(context, at, y) {
    context.strokeStyle = colour("--line-strong");
    context.lineWidth = 1;
    stroke(context, [[Math.round(at) + 0.5, PAD.top], [Math.round(at) + 0.5, HEIGHT - PAD.bottom]]);
    if (this.stacked) return;
    for (const one of this.series) {
      const value = one.value(this.samples[this.at]);
      context.fillStyle = colour(one.colour);
      if (value !== null) dot(context, [at, y(value)]);
    }
  }
}

function stroke(context, points) {
  context.beginPath();
  points.forEach(([x, y], at) => (at === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  context.stroke();
}

function dot(context, [x, y]) {
  context.beginPath();
  context.arc(x, y, 2.5, 0, 2 * Math.PI);
  context.fill();
}

/// The context of `canvas` with nothing drawn, sharp at any pixel ratio.
export function cleared(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/// A spot of a colour, for legends.
export function swatch(variable) {
  const node = el("span", { class: "swatch", "aria-hidden": "true" });
  node.style.background = `var(${variable})`;
  return node;
}
