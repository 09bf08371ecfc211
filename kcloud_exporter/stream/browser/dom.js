// Elements. Text always goes in as text: names come from other people's clusters.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);
export const el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

// A table with a caption for those who do not see it; a cell is text or an element, and numbers stand right.
export function table(caption, heads, rows) {
  const numeric = heads.map((head) => head.startsWith("#"));
  const of = (tag, at, value, more) => el(tag, { class: numeric[at] ? "number" : null, ...more }, value);
  return el(
    "table",
    {},
    el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, heads.map((head, at) => of("th", at, head.replace("#", ""), { scope: "col" })))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, at) => of("td", at, value))))),
  );
}

// Arrow keys, Home and End walk through many things; Tab stops at one of them only.
export function roving(container, selector) {
  container.addEventListener("keydown", (event) => {
    const all = [...container.querySelectorAll(selector)];
    const at = all.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? all.length - 1 : step ? at + step : -1;
    if (at < 0 || to < 0 || to >= all.length) return;
    event.preventDefault();
    all[at].setAttribute("tabindex", "-1");
    all[to].setAttribute("tabindex", "0");
    all[to].focus();
  });
}
