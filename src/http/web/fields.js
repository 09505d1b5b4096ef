// One line, field by field. A click on a value looks for it.
import { el, toast } from "./dom.js";
import { Literal } from "./api.js";

const KNOWN = { level: ["level", "severity", "lvl", "log.level"], service: ["service", "service.name", "app", "logger"] };

/// What a click on this field looks for, where that is not the field itself.
function knownAs(path, row) {
  if (KNOWN.level.includes(path) && row.level !== "UNKNOWN") return ["level", row.level];
  if (KNOWN.service.includes(path) && row.service !== null) return ["service", row.service];
  return null;
}

/// Paths and values of a record, objects opened: `a.b`. Arrays have one entry for each element.
export function flatten(value, path = "", depth = 0) {
  if (Array.isArray(value)) return value.flatMap((one) => (isPlain(one) ? [[path, one]] : [[path, JSON.stringify(one)]]));
  if (isPlain(value) || depth > 8) return [[path, isPlain(value) ? value : JSON.stringify(value)]];
  return Object.entries(value).flatMap(([name, inner]) => flatten(inner, path ? `${path}.${name}` : name, depth + 1));
}

const isPlain = (value) => value === null || typeof value !== "object" || value instanceof Literal;

function field(row, [path, value], onfilter) {
  const text = value === null ? "null" : String(value);
  const [name, wanted] = path === "tags" ? ["tag", text] : (knownAs(path, row) ?? [path, text]);
  const button = (title, sign, isExcluded) => el("button", { type: "button", class: "quiet field-button", title, "aria-label": title, onclick: () => onfilter(name, wanted, isExcluded) }, sign);
  return el("tr", {},
    el("th", { scope: "row", class: "mono" }, path),
    el("td", { class: "field-buttons" }, button(`Only lines with this ${path}`, "+", false), button(`Without lines with this ${path}`, "−", true)),
    el("td", {}, el("button", { type: "button", class: "field-value mono", title: "Only lines with this value; with Shift, without them",
      onclick: (event) => onfilter(name, wanted, event.shiftKey) }, text === "" ? "(empty)" : text)));
}

/// The field view of a row. `onfilter(field, value, isExcluded)`.
export function fieldView(row, onfilter) {
  const fields = row.record === null ? [] : flatten(row.record);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(row.raw);
      toast("Line copied");
    } catch {
      toast("The browser does not let this page copy");
    }
  };
  return el("div", { class: "fields" },
    el("div", { class: "fields-head" },
      el("span", { class: "dim" }, `${row.time ?? "no time"} · ${new Blob([row.raw]).size} bytes as stored`),
      el("button", { type: "button", class: "quiet", onclick: copy }, "Copy line")),
    el("div", { class: "scroll" }, el("table", {}, el("caption", { class: "visually-hidden" }, "Fields of this line"), el("tbody", {}, fields.map((one) => field(row, one, onfilter))))),
    fields.length === 0 && el("pre", { class: "mono raw" }, row.raw));
}
