// Builds elements. Text is always a text node: nothing here, or anywhere in the dashboard, reads HTML.

/// An element: `el("td", { class: "num", onclick: f, "aria-label": "…" }, child, "text")`. `null` and `false` are left out.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && !name.startsWith("aria") && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/// Replaces all children.
export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

/// Sets text where it has changed, so that a selection or a reader is not disturbed.
export function say(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

/// A table with a header, whose rows are updated in place. `columns`: `{ title, num, cell(row) }`, where a cell is text or a node.
export class Table {
  constructor(columns, { caption, empty = "Nothing yet" } = {}) {
    this.columns = columns;
    this.body = el("tbody");
    const head = columns.map((column) => el("th", { scope: "col", class: column.num ? "num" : null }, column.title));
    this.table = el("table", { hidden: true }, caption && el("caption", { class: "visually-hidden" }, caption), el("thead", {}, el("tr", {}, head)), this.body);
    this.none = el("p", { class: "dim", hidden: true }, empty);
    this.root = el("div", { class: "scroll" }, this.table, this.none);
  }

  update(rows) {
    this.table.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    while (this.body.rows.length > rows.length) this.body.lastChild.remove();
    rows.forEach((row, at) => {
      let tr = this.body.rows[at];
      if (!tr) {
        tr = el("tr", {}, this.columns.map((column) => el("td", { data: { title: column.title }, class: [column.num ? "num" : "", column.class ?? ""].join(" ").trim() || null })));
        this.body.append(tr);
      }
      this.columns.forEach((column, n) => {
        const value = column.cell(row);
        if (column.update) column.update(tr.cells[n], row);
        else if (value instanceof Node) fill(tr.cells[n], value);
        else say(tr.cells[n], value);
      });
    });
  }
}

/// Says something for a moment.
export function toast(text) {
  const node = document.getElementById("toast");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { node.hidden = true; }, 2500);
}

/// Buttons of which one is chosen. `options`: `[value, title]`.
export function choice(label, options, value, onchange) {
  const buttons = options.map(([one, title]) => el("button", { type: "button", data: { value: one }, onclick: () => { set(one); onchange(one); } }, title));
  const set = (chosen) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.value === String(chosen))));
  set(value);
  return { root: el("div", { class: "group", role: "group", "aria-label": label }, buttons), set };
}
