// What the daemon is asked, and how its refusals come back.

/// A refusal or a failure: `status` 0 where there was no answer at all; `column` where a query is at fault.
export class ApiError extends Error {
  constructor(message, status, column) {
    super(message);
    this.status = status;
    this.column = column;
  }
}

const RETRIES = 8;
let skewMs = 0;

/// What time it is for the daemon.
export const daemonNow = () => Date.now() + skewMs;

function noteClock(response) {
  const theirs = Date.parse(response.headers.get("Date") ?? "");
  // The header tells whole seconds: less than two are no difference.
  if (Number.isFinite(theirs)) skewMs = Math.abs(theirs - Date.now()) > 2000 ? theirs - Date.now() : 0;
}

/// An address relative to the page, so that a proxy may serve it under any path.
export function url(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(given).toString();
  return query ? `${path}?${query}` : path;
}

/// Asks; what is told to come back comes back.
async function ask(path, params, signal) {
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(url(path, params), { signal, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("logboom does not answer", 0);
    }
    noteClock(response);
    if (response.ok) return response;
    if (response.status === 429 && attempt < RETRIES) {
      await response.body?.cancel();
      await pause(150 * (attempt + 1), signal);
      continue;
    }
    const text = await response.text();
    let body = {};
    try { body = JSON.parse(text); } catch { /* not JSON: the text itself */ }
    throw new ApiError(body.error ?? (text.trim() || `status ${response.status}`), response.status, body.column);
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(new DOMException("aborted", "AbortError")); }, { once: true });
  });
}

/// A JSON answer.
export async function getJson(path, params, signal) {
  return (await ask(path, params, signal)).json();
}

/// The lines of a streamed answer, handed to `onlines` in groups as they come. Resolves to whether all came: an answer that breaks off was cut by the daemon.
export async function streamLines(path, params, signal, onlines) {
  const response = await ask(path, params, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      if (lines.length > 0) onlines(lines);
    }
  } catch (error) {
    if (error.name === "AbortError" || signal?.aborted) throw new DOMException("aborted", "AbortError");
    return false;
  }
  return true;
}

/// JSON whose long numbers keep their digits, as text.
export function parseExactly(text) {
  return JSON.parse(text, (_, value, context) => {
    const isExact = typeof value !== "number" || context?.source === undefined || context.source === String(value);
    return isExact ? value : new Literal(context.source);
  });
}

/// A number that JavaScript would alter.
export class Literal {
  constructor(source) { this.source = source; }
  toString() { return this.source; }
  toJSON() { return this.source; }
}
