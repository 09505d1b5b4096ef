// Dark and light: as the system has it, unless somebody has chosen. The browser keeps the choice.
import { el, fill } from "./dom.js";

const KEY = "logboom.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();
const NAMES = { auto: "as the system has it", light: "light", dark: "dark" };

const chosen = () => localStorage.getItem(KEY) ?? "auto";

function apply() {
  const isDark = chosen() === "dark" || (chosen() === "auto" && system.matches);
  document.documentElement.toggleAttribute("data-dark", isDark);
  listeners.forEach((listener) => listener());
}

/// Calls `listener` when colours have changed.
function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/// Has `canvas` drawn again whenever its size or the colours change, until what is returned is called.
export function redrawn(canvas, draw) {
  const resizes = new ResizeObserver(draw);
  resizes.observe(canvas);
  const offTheme = onTheme(draw);
  return () => {
    resizes.disconnect();
    offTheme();
  };
}

/// The value of a CSS variable, for canvases.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/// Makes `button` the switch: system, light, dark.
export function start(button) {
  const show = () => {
    button.title = `Theme: ${NAMES[chosen()]}`;
    button.setAttribute("aria-label", button.title);
    fill(button, el("span", { "aria-hidden": "true" }, { auto: "◐", light: "☀", dark: "☾" }[chosen()]));
  };
  button.addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    const next = order[(order.indexOf(chosen()) + 1) % order.length];
    if (next === "auto") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    apply();
    show();
  });
  system.addEventListener("change", apply);
  apply();
  show();
}
