// Accelerators as a heat map by node, of any vendor: power over limit where a limit is known, or utilisation.

import { byId, el, roving, table } from "./dom.js";
import { count, percent, UNKNOWN, wattsText } from "./format.js";
import { explains } from "./tip.js";

const STEPS = 10;
const place = byId("devices");
let current = null;
let drawn = "";
roving(place, ".device");

const chosen = () => document.querySelector('input[name="measure"]:checked').value;

function entries(data) {
  return data.nodes.map((node) => ({
    ...node,
    devices: node.devices.map((row) => {
      const device = Object.fromEntries(data.columns.map((name, at) => [name, row[at]]));
      return { ...device, model: data.models[device.model], cluster: node.cluster, node: node.node };
    }),
  }));
}

// Without a limit the most that a device of this model draws now stands for it: a comparison, not a load.
function load(device, strongest) {
  if (chosen() === "use") return device.utilization_ratio;
  if (device.power_watts === null) return null;
  const most = device.power_limit_watts ?? strongest.get(device.model);
  return most ? device.power_watts / most : null;
}

function told(device) {
  const limit = device.power_limit_watts === null ? "limit unknown" : `limit ${wattsText(device.power_limit_watts)}`;
  return {
    title: `${device.node} · ${device.name}`,
    lines: [
      device.model,
      `power ${wattsText(device.power_watts ?? undefined)}, ${limit}`,
      `utilisation ${percent(device.utilization_ratio ?? undefined)}`,
      ...(device.healthy === false ? ["not healthy"] : []),
    ],
  };
}

export function draw(data) {
  current = data;
  const nodes = entries(data);
  const all = nodes.flatMap((node) => node.devices);
  const strongest = new Map();
  for (const device of all) strongest.set(device.model, Math.max(strongest.get(device.model) ?? 0, device.power_watts ?? 0));
  const shape = JSON.stringify(nodes.map((node) => [node.cluster, node.node, node.devices.map((device) => device.name)]));
  if (shape !== drawn) build(nodes, all.length);
  drawn = shape;
  const cells = [...place.querySelectorAll(".device")];
  all.forEach((device, at) => {
    const value = load(device, strongest);
    const known = value !== null && value !== undefined;
    const cell = cells[at];
    cell.device = device;
    cell.dataset.step = known ? Math.min(STEPS - 1, Math.max(0, Math.floor(value * STEPS))) : UNKNOWN;
    cell.classList.toggle("ill", device.healthy === false);
    const said = told(device);
    cell.setAttribute("aria-label", [said.title, ...said.lines].join(", "));
  });
  if (!place.querySelector('.device[tabindex="0"]')) cells[0]?.setAttribute("tabindex", "0");
  note(data, all);
  if (byId("devices-details").open) tell(all);
}

function build(nodes, devices) {
  place.className = devices > 400 ? "small" : devices > 120 ? "middle" : "large";
  const clusters = Map.groupBy ? Map.groupBy(nodes, (node) => node.cluster) : grouped(nodes);
  place.replaceChildren(
    ...[...clusters].map(([cluster, of]) =>
      el("div", { class: "group", role: "group", "aria-label": `Accelerators of ${cluster}` },
        el("h3", {}, cluster),
        el("div", { class: "tiles" }, of.map((node) =>
          el("div", { class: "tile" }, el("span", { class: "node-name" }, node.node),
            el("span", { class: "cells" }, node.devices.map(cell))))))),
  );
}

function grouped(nodes) {
  const found = new Map();
  for (const node of nodes) found.set(node.cluster, [...(found.get(node.cluster) ?? []), node]);
  return found;
}

function cell() {
  const element = el("span", { class: "device", role: "img", tabindex: "-1" });
  explains(element, () => told(element.device));
  return element;
}

function note(data, all) {
  const unknown = all.filter((device) => device.power_watts === null).length;
  const others = data.others ? ` and ${count(data.others.count)} others that draw ${wattsText(data.others.power_watts)}` : "";
  const unlimited = chosen() === "power" ? all.filter((device) => device.power_watts !== null && device.power_limit_watts === null).length : 0;
  const compared = unlimited ? `; ${unlimited === all.length ? "limits" : `limits of ${count(unlimited)}`} unknown: compared with the strongest of their model` : "";
  const lost = unknown ? `; power of ${count(unknown)} unknown` : "";
  byId("devices-note").textContent = all.length ? `${count(all.length)} devices${others}${lost}${compared}` : "none is known";
}

function tell(all) {
  const rows = all.map((device) => [
    device.cluster, device.node, device.name, device.model, wattsText(device.power_watts ?? undefined),
    wattsText(device.power_limit_watts ?? undefined), percent(device.utilization_ratio ?? undefined),
    device.healthy === null ? UNKNOWN : device.healthy ? "yes" : "no",
  ]);
  const heads = ["Cluster", "Node", "Device", "Model", "#Power", "#Limit", "#Utilisation", "Healthy"];
  byId("devices-table").replaceChildren(table("Accelerators", heads, rows));
}

byId("scale").append(
  el("span", {}, "0 %"), el("span", { class: "steps" }, Array.from({ length: STEPS }, (_, step) => el("i", { "data-step": step }))),
  el("span", {}, "100 %"), el("i", { "data-step": UNKNOWN }), el("span", {}, UNKNOWN),
);
for (const input of document.querySelectorAll('input[name="measure"]')) input.addEventListener("change", () => current && draw(current));
byId("devices-details").addEventListener("toggle", () => current && byId("devices-details").open && draw(current));
