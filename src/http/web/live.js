// The daemon's numbers, every second, over one connection that all pages share. It is closed while nobody looks.

const RETRY_MS = [1000, 2000, 4000, 8000];
const HIDDEN_MS = 20_000;

/// `state`: connecting, ok, or lost. `samples`: arrays of numbers in the order of `names`. `stats`: what /api/stats says; `before`: one second earlier.
export const live = { state: "connecting", names: [], samples: [], stats: null, before: null, keep: 900, since: 0 };
const listeners = new Set();
let source = null;
let failures = 0;
let timer = 0;

/// Calls `listener` after each change. Returns how to end that.
export function onLive(listener) {
  listeners.add(listener);
  if (live.stats) listener(live);
  return () => listeners.delete(listener);
}

function tell() {
  listeners.forEach((listener) => listener(live));
}

/// The place of a number in a sample.
export const index = (name) => live.names.indexOf(name);

/// Events per second of a counter, by a function that finds it in the statistics.
export function rate(find) {
  if (!live.before || !live.stats) return null;
  const seconds = live.stats.uptime_seconds - live.before.uptime_seconds;
  return seconds > 0 ? Math.max(0, (find(live.stats) - find(live.before)) / seconds) : null;
}

function open() {
  clearTimeout(timer);
  source?.close();
  source = new EventSource("api/live");
  source.addEventListener("history", (event) => {
    const { names, samples, stats } = JSON.parse(event.data);
    Object.assign(live, { names, samples, stats, before: null, state: "ok" });
    failures = 0;
    tell();
  });
  source.addEventListener("live", (event) => {
    const { sample, stats } = JSON.parse(event.data);
    live.samples.push(sample);
    if (live.samples.length > live.keep) live.samples.shift();
    live.before = live.stats;
    live.stats = stats;
    live.state = "ok";
    arm();
    tell();
  });
  source.addEventListener("error", lost);
  arm();
}

/// Nothing for this long is as good as a broken connection.
function arm() {
  clearTimeout(timer);
  timer = setTimeout(lost, 8000);
}

function lost() {
  source?.close();
  source = null;
  if (live.state !== "lost") {
    live.state = "lost";
    live.since = Date.now();
    tell();
  }
  clearTimeout(timer);
  timer = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

/// Begins.
export function start() {
  let hiding = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(close, HIDDEN_MS);
    else if (!source) open();
  });
  open();
}
