// The flow of watts as a picture, and as a table for those who do not see it.

import { byId, roving, svg, table } from "./dom.js";
import { percent, wattsText } from "./format.js";
import { layout } from "./sankey.js";
import { explains } from "./tip.js";

const NARROW = 600;
const SLOT = { wide: 28, narrow: 38 };
const LETTER = 6.7;
const KINDS = {
  site: "site", cluster: "cluster", overhead: "facility beyond its IT", component: "component",
  namespace: "namespace", project: "project of virtual machines", others: "smaller namespaces together",
  nobody: "held by no pod", rest: "not broken down further",
};

const place = byId("flow");
const picture = svg("svg", { role: "group", "aria-label": "Flow of watts from sites to namespaces" });
const layers = { links: svg("g", { class: "links" }), nodes: svg("g", { class: "nodes" }) };
picture.append(layers.links, layers.nodes);
place.append(picture);
roving(picture, ".node");
let current = null;
const known = { links: new Map(), nodes: new Map() };

// Elements by key: made when first needed, kept while needed, so that focus stays where it is.
function keyed(kind, items, key, make, place) {
  const before = known[kind];
  const now = new Map();
  for (const item of items) {
    const id = key(item);
    const element = before.get(id) ?? make(id);
    element.item = item;
    place(element, item);
    now.set(id, element);
  }
  for (const [id, element] of before) if (!now.has(id)) element.remove();
  const order = [...now.values()];
  if (order.some((element, at) => layers[kind].children[at] !== element)) layers[kind].append(...order);
  known[kind] = now;
}

function light(ids) {
  picture.classList.toggle("lit", Boolean(ids));
  for (const element of known.links.values()) {
    element.classList.toggle("on", Boolean(ids) && (ids.has(element.item.key) || ids.has(element.item.from) || ids.has(element.item.to)));
  }
}

function lights(element, ids) {
  for (const name of ["pointerenter", "focus"]) element.addEventListener(name, () => light(ids()));
  for (const name of ["pointerleave", "blur"]) element.addEventListener(name, () => light(null));
}

function makeLink() {
  const path = svg("path", {});
  explains(path, () => ({
    title: `${path.item.source.label} → ${path.item.target.label}`,
    lines: [
      [wattsText(path.item.power_watts), path.item.component].filter(Boolean).join(" of "),
      `${percent(path.item.power_watts / path.item.source.watts)} of ${path.item.source.label}`,
    ],
  }));
  lights(path, () => new Set([path.item.key]));
  return path;
}

function makeNode() {
  const group = svg("g", { class: "node", role: "img", tabindex: "-1" });
  group.append(svg("rect", { rx: 2 }), svg("text", {}, svg("tspan", { class: "label" }), svg("tspan", { class: "watts" })));
  explains(group, () => ({ title: group.item.label, lines: [KINDS[group.item.kind], wattsText(group.item.watts), ...sides(group.item)] }));
  lights(group, () => new Set([group.item.id]));
  return group;
}

function sides(node) {
  const told = (list, far) => [...list].sort((a, b) => b.power_watts - a.power_watts).slice(0, 5)
    .map((link) => `${wattsText(link.power_watts)} ${far === "source" ? "from" : "to"} ${link[far].label}`);
  return node.kind === "site" || node.kind === "cluster" ? told(node.out, "target") : told(node.into, "source");
}

function spoken(node) {
  return [`${KINDS[node.kind]} ${node.label}: ${wattsText(node.watts)}`, ...sides(node)].join(", ");
}

function shortened(text, room) {
  const most = Math.max(4, Math.floor(room / LETTER));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

export function draw(flow) {
  current = flow;
  const width = place.clientWidth;
  if (!width) return;
  const narrow = width < NARROW;
  const kept = flow.nodes.filter((node) => !(narrow && (node.layer === 0 || node.kind === "overhead")));
  const ids = new Set(kept.map((node) => node.id));
  const links = flow.links.filter((link) => ids.has(link.from) && ids.has(link.to));
  const most = Math.max(1, ...[0, 1, 2, 3].map((layer) => kept.filter((node) => node.layer === layer).length));
  const slot = narrow ? SLOT.narrow : SLOT.wide;
  const height = Math.max(narrow ? 420 : 400, most * slot);
  const right = narrow ? 108 : 232;
  picture.setAttribute("viewBox", `0 0 ${width} ${height + 8}`);
  picture.setAttribute("width", width);
  picture.setAttribute("height", height + 8);
  place.classList.toggle("empty", links.length === 0);
  if (!links.length) {
    keyed("links", [], null, null, null);
    keyed("nodes", [], null, null, null);
    return;
  }
  const thick = narrow ? 10 : 14;
  const laid = layout(kept, links, { width: width - right, height, thick, gap: narrow ? 29 : 17 });
  for (const link of laid.links) link.key = `${link.from}|${link.to}|${link.component}`;
  keyed("links", laid.links, (link) => link.key, makeLink, (path, link) => {
    const x0 = link.source.x + thick, x1 = link.target.x, xm = (x0 + x1) / 2;
    path.setAttribute("d", `M${x0},${link.y0 + 4}C${xm},${link.y0 + 4} ${xm},${link.y1 + 4} ${x1},${link.y1 + 4}`);
    path.setAttribute("stroke-width", Math.max(1, link.width));
    path.setAttribute("class", `c-${link.component || link.target.kind}`);
  });
  const columnRoom = (width - right) / (narrow ? 2 : 3) - thick - 12;
  keyed("nodes", laid.nodes, (node) => node.id, makeNode, (group, node) => {
    const last = node.layer === 3;
    const [box, text] = group.children;
    group.setAttribute("transform", `translate(${node.x},${node.y + 4})`);
    group.setAttribute("class", `node c-${node.kind === "component" ? node.label : node.kind}`);
    group.setAttribute("aria-label", spoken(node));
    box.setAttribute("width", thick);
    box.setAttribute("height", Math.max(1.5, node.height));
    text.setAttribute("x", thick + 7);
    text.setAttribute("y", Math.max(node.height / 2, 0.75));
    const told = wattsText(node.watts);
    const room = last ? right - 18 : columnRoom;
    const [label, value] = text.children;
    label.textContent = shortened(node.label, narrow ? room : room - (told.length + 1) * LETTER);
    value.textContent = narrow ? told : ` ${told}`;
    for (const [name, line] of Object.entries({ x: thick + 7, dy: "1.15em" })) {
      if (narrow) value.setAttribute(name, line);
      else value.removeAttribute(name);
    }
    text.setAttribute("dy", narrow ? "-0.2em" : "0.34em");
  });
  if (!picture.querySelector('.node[tabindex="0"]')) layers.nodes.firstElementChild?.setAttribute("tabindex", "0");
  if (byId("flow-details").open) tell();
}

function tell() {
  const name = new Map(current.nodes.map((node) => [node.id, node.label]));
  const rows = current.links.map((link) => [name.get(link.from), name.get(link.to), link.component, wattsText(link.power_watts)]);
  byId("flow-table").replaceChildren(table("The flow of watts", ["From", "To", "Component", "#Power"], rows));
}

byId("flow-details").addEventListener("toggle", () => current && byId("flow-details").open && tell());
new ResizeObserver(() => current && draw(current)).observe(place);
