// Queries as text: terms that are added, taken away and turned around. docs/SEARCH.md is the language.

const NAME = /^[\p{L}_@][\p{L}\p{N}_@.\-/$]*$/u;
const BARE = /^[\p{L}\p{N}_@.:+\-/]+$/u;
const TERM = /-?(?:[^\s"()]*"(?:\\.|[^"\\])*"|[^\s"()]+)|[()]/gu;

/// A value as it may stand in a query.
export const quoted = (value) => (BARE.test(value) && !value.startsWith("-") && !/^(OR|AND|NOT)$/.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`);

/// The term for a field that has this value. A name that no query can hold is left out: then the value is a phrase.
export function term(field, value) {
  const text = String(value);
  if (field === "level") return `level:${text.toLowerCase()}`;
  if (field === "service" || field === "tag") return `${field}:${quoted(text)}`;
  return NAME.test(field) ? `${field}=${quoted(text)}` : `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

/// The query with one more condition: `one`, or not `one`. What says so already stays as it is, what says the opposite is turned around.
export function withTerm(query, one, isExcluded) {
  const [wanted, opposite] = isExcluded ? [`-${one}`, one] : [one, `-${one}`];
  const terms = [...query.matchAll(TERM)];
  if (terms.some(([text]) => text === wanted)) return query;
  const turned = terms.find(([text]) => text === opposite);
  if (turned) return query.slice(0, turned.index) + wanted + query.slice(turned.index + opposite.length);
  const trimmed = query.trim();
  if (trimmed === "" || trimmed === "*") return wanted;
  return terms.some(([text]) => text === "OR") ? `(${trimmed}) ${wanted}` : `${trimmed} ${wanted}`;
}

/// A query in three parts: before, at and after the place where it is wrong. `column` counts characters from 1.
export function around(query, column) {
  const chars = Array.from(query);
  const at = Math.min(Math.max(column - 1, 0), chars.length);
  return [chars.slice(0, at).join(""), chars[at] ?? " ", chars.slice(at + 1).join("")];
}
