// The shell: pages by the address behind #, what stands in the bar, and the banner when the daemon is gone.
import { start as startTheme } from "./theme.js";
import { live, onLive, start as startLive } from "./live.js";
import { start as startKeys, showHelp } from "./keys.js";
import { zone, duration } from "./format.js";
import { say } from "./dom.js";
import { overview } from "./overview.js";
import { logs } from "./logs.js";
import { files } from "./files.js";
import { config } from "./config.js";

/// Each page is shown by `open(main, params)`, told of another address of its own by `change(params)`, and ended by `close()`.
const PAGES = { overview, logs, files, config };
const byId = (id) => document.getElementById(id);
let current = null;

/// `#/logs?q=…` as a name and its parameters.
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { name: Object.hasOwn(PAGES, path) ? path : "overview", params: new URLSearchParams(query) };
}

function route() {
  if (location.hash === "#main") return;
  const { name, params } = address();
  if (current?.name === name) {
    current.page.change?.(params);
    return;
  }
  current?.page.close?.();
  const main = byId("main");
  main.replaceChildren();
  main.dataset.page = name;
  current = { name, page: PAGES[name] };
  current.page.open(main, params);
  document.title = `${name[0].toUpperCase()}${name.slice(1)} · logboom`;
  for (const link of byId("tabs").children) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showState() {
  const state = byId("state");
  const banner = byId("banner");
  const unready = live.stats?.unready;
  const kind = live.state === "ok" && unready ? "paused" : live.state;
  state.dataset.state = kind;
  state.title = unready ?? "";
  say(state, { ok: "Taking lines in", paused: unready?.startsWith("paused") ? "Paused" : "Not ready", lost: "Disconnected", connecting: "Connecting" }[kind]);
  banner.hidden = kind !== "lost" && kind !== "paused";
  banner.dataset.kind = kind === "paused" ? "warn" : "bad";
  if (kind === "paused") say(banner, `Intake is ${unready}`);
  if (kind === "lost") say(banner, `logboom has not answered for ${duration(Math.max(1, Math.floor((Date.now() - live.since) / 1000)))}. Numbers are from before. Trying again.`);
}

function startZone() {
  const button = byId("zone");
  const show = () => { button.textContent = zone.isUtc ? "UTC" : "Local"; };
  button.addEventListener("click", () => {
    zone.set(!zone.isUtc);
    show();
    const { page } = current;
    page.close?.();
    byId("main").replaceChildren();
    page.open(byId("main"), address().params);
  });
  show();
}

startTheme(byId("theme"));
startKeys();
startZone();
byId("help").addEventListener("click", showHelp);
onLive(showState);
setInterval(() => live.state === "lost" && showState(), 1000);
startLive();
addEventListener("hashchange", route);
route();
