// Keys that work everywhere, and the page that lists all of them.
import { el, fill } from "./dom.js";

const PAGES = { o: "overview", l: "logs", f: "files", c: "config" };
const GO_MS = 1200;
let goUntil = 0;

const KEYS = [
  ["Everywhere", [
    [["g", "o"], "overview"], [["g", "l"], "logs"], [["g", "f"], "files"], [["g", "c"], "config"],
    [["/"], "search"], [["?"], "this help"],
  ]],
  ["Logs", [
    [["Enter"], "in the search box: search; on a line: show its fields"],
    [["↓"], "from the search box into the lines, and to the next one"], [["↑"], "to the one before"],
    [["→"], "show fields"], [["←"], "hide them"], [["Esc"], "stop the search, or leave a field"],
  ]],
  ["Charts", [[["←", "→"], "on a chart with focus: read its values"]]],
];

const QUERY = [
  ["timeout", "a word, in any case; time* also longer ones"],
  ["\"connection refused\"", "a phrase"],
  ["level>=warn service:auth", "both; level, service and tag are normalised"],
  ["status=500 OR status=503", "a field that is this; either of two"],
  ["-healthz", "not this"],
  ["duration_ms>250", "a number"],
  ["path:/^\\/api/", "a regular expression in a field"],
];

/// Shows the dialog.
export function showHelp() {
  const dialog = document.getElementById("dialog");
  const key = (keys) => keys.map((one) => [el("kbd", {}, one), " "]);
  const section = ([title, keys]) => [
    el("h2", {}, title),
    el("table", {}, el("tbody", {}, keys.map(([names, what]) => el("tr", {}, el("td", { class: "help-keys" }, key(names)), el("td", {}, what))))),
  ];
  fill(
    dialog,
    el("h1", { id: "dialog-title" }, "Keys and queries"),
    KEYS.map(section),
    el("h2", {}, "Queries"),
    el("table", {}, el("tbody", {}, QUERY.map(([query, what]) => el("tr", {}, el("td", {}, el("code", {}, query)), el("td", { class: "dim" }, what))))),
    el("form", { method: "dialog", class: "dialog-end" }, el("button", { class: "primary" }, "Close")),
  );
  dialog.showModal();
}

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

/// Listens.
export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.getElementById("dialog").open) return;
    if (Date.now() < goUntil && PAGES[event.key]) {
      goUntil = 0;
      location.hash = `#/${PAGES[event.key]}`;
    } else if (event.key === "g") {
      goUntil = Date.now() + GO_MS;
      return;
    } else if (event.key === "?") {
      showHelp();
    } else if (event.key === "/") {
      const focus = () => document.getElementById("query")?.focus();
      if (document.getElementById("main").dataset.page === "logs") focus();
      else {
        // The page is there once the shell has read its address: that listened first.
        addEventListener("hashchange", focus, { once: true });
        location.hash = "#/logs";
      }
    } else {
      return;
    }
    event.preventDefault();
  });
}
