// The config page: every setting with where its value came from, and what can be reached where.
import { el, fill } from "./dom.js";
import { getJson } from "./api.js";

const KINDS = { flag: "accent", file: "warn", default: null };
let abort = null;

function flag(key) {
  const [section, name] = key.split(".");
  return name ? `--${name.replaceAll("_", "-")}` : section;
}

function section(title, settings) {
  const rows = settings.map(({ key, value, source }) => el("tr", {},
    el("td", { class: "mono", title: key }, flag(key)),
    el("td", { class: "mono wrap-cell" }, value),
    el("td", { class: "num" }, el("span", { class: "badge", data: { kind: KINDS[source] ?? "" } }, source))));
  const head = ["Setting", "Value", "From"].map((name, n) => el("th", { scope: "col", class: n === 2 ? "num" : null }, name));
  return el("section", { class: "card" }, el("h2", {}, title), el("div", { class: "scroll" }, el("table", { class: "settings" }, el("caption", { class: "visually-hidden" }, title), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))));
}

function show(main, { file, settings, listening, endpoints, version }) {
  const groups = Map.groupBy(settings, ({ key }) => (key.includes(".") && !key.startsWith("pattern ") ? key.split(".")[0] : "patterns"));
  const titles = { server: "Intake", store: "Segments and archives", rules: "Filters and tags", patterns: "Shapes of text lines" };
  const link = (path) => (path.includes("NAME") || path === "/api/live" || path === "/api/tail" ? el("code", {}, path) : el("a", { class: "mono", href: path.slice(1) || "./" }, path));
  fill(main,
    el("div", { class: "page-head" }, el("h1", {}, "Config"), el("p", { class: "status" }, `logboom ${version}, ${file ? `read from ${file}, then flags` : "no configuration file"}`)),
    el("div", { class: "columns" },
      el("div", {}, [...groups].map(([name, of]) => section(titles[name] ?? name, of))),
      el("div", {},
        el("section", { class: "card" }, el("h2", {}, "Listens on"), el("table", {}, el("tbody", {}, listening.map(({ protocol, address }) => el("tr", {}, el("td", {}, protocol), el("td", { class: "mono num" }, address)))))),
        el("section", { class: "card" }, el("h2", {}, "Endpoints"), el("table", {}, el("tbody", {}, endpoints.map(({ path, what }) => el("tr", {}, el("td", {}, link(path)), el("td", { class: "dim" }, what)))))))));
}

export const config = {
  async open(main) {
    abort = new AbortController();
    const { signal } = abort;
    fill(main, el("p", { class: "status", role: "status" }, "Loading"));
    try {
      const answer = await getJson("api/config", {}, signal);
      if (!signal.aborted) show(main, answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(main, el("div", { class: "card empty" }, el("strong", { class: "error" }, "The configuration can't be read"), el("p", {}, error.message),
        el("p", {}, el("button", { type: "button", onclick: () => config.open(main) }, "Try again"))));
    }
  },
  close() { abort?.abort(); },
};
