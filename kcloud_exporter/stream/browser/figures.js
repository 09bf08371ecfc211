// The figures at the top, the sparkline, and the tables of sites, clusters and sources.

import { byId, el, svg, table } from "./dom.js";
import { ago, clock, count, energy, percent, ratio, UNKNOWN, watts, wattsText } from "./format.js";

const COMPONENTS = ["gpu", "npu", "tpu", "cpu", "memory", "other"];
const STATES = ["measured", "partial", "missing"];
const unknown = () => el("span", { class: "unknown" }, UNKNOWN);

function figure(id, value, unit, exact) {
  const place = byId(id);
  place.dataset.value = exact ?? "";
  place.replaceChildren(...(value === null ? [unknown()] : [value, ...(unit ? [el("span", { class: "unit" }, ` ${unit}`)] : [])]));
}

export function draw(state) {
  const { total, sites } = state;
  const power = watts(total.power_watts);
  figure("power", power?.number ?? null, power?.unit, total.power_watts);
  const lacks = [
    ...(total.completeness_ratio < 1 ? [`${percent(total.completeness_ratio)} of the nodes are fully measured`] : []),
    ...(state.sources.down ? [`${count(state.sources.down)} of ${count(state.sources.down + state.sources.up)} sources are down`] : []),
  ];
  byId("power-note").textContent = !power ? "no source has told any power"
    : lacks.length ? `at least: ${lacks.join(", ")}` : "all nodes are measured";
  byId("power-note").classList.toggle("warn", lacks.length > 0);
  bar(total);
  spark(state.trend);
  pue(total, sites);
  completeness(total);
  const counted = energy(total.energy_joules);
  figure("energy", counted?.number ?? null, counted?.unit, total.energy_joules);
  const since = total.energy_since;
  const parts = COMPONENTS.filter((name) => name in total.energy_components).map((name) => [name, total.energy_components[name]]);
  segments("energy-bar", parts, `Energy by component: ${parts.map(([name, value]) => `${name} ${energy(value).text}`).join(", ") || UNKNOWN}`);
  byId("energy-note").textContent = since ? `${energy(since.joules).text} since ${clock(since.time)}` : counted ? "" : "no counter yet";
  places(state);
  sources(state);
}

function segments(id, parts, label) {
  const whole = parts.reduce((sum, [, value]) => sum + value, 0);
  byId(id).replaceChildren(...parts.filter(([, value]) => value > 0).map(([name, value]) => {
    const part = el("span", { class: `c-${name}` });
    part.style.flexGrow = whole ? value / whole : 0;
    return part;
  }));
  byId(id).setAttribute("aria-label", label);
}

function bar(total) {
  const parts = COMPONENTS.filter((name) => name in total.components).map((name) => [name, total.components[name]]);
  const said = parts.map(([name, value]) => `${name} ${wattsText(value)}`);
  segments("bar", parts, `Power by component: ${said.join(", ") || UNKNOWN}`);
  byId("legend").replaceChildren(...parts.map(([name, value]) =>
    el("li", {}, el("i", { class: `c-${name}`, "aria-hidden": "true" }), el("span", {}, name), el("b", {}, wattsText(value)))));
}

function pue(total, sites) {
  const all = total.pue;
  figure("pue", all ? ratio(all.ratio) : null, "", all?.ratio);
  const it = all ? 1 / all.ratio : 0;
  segments("pue-bar", all ? [["it", it], ["beyond", 1 - it]] : [],
    all ? `Of the facility's power ${percent(it)} is IT and ${percent(1 - it)} is not` : `Facility power by use: ${UNKNOWN}`);
  const known = sites.filter((site) => site.pue.length);
  const how = all ? [all.method, all.category && `(${all.category})`].filter(Boolean).join(" ") : "";
  const each = known.map((site) => `${site.site} ${ratio(site.pue[0].ratio)}`).join(", ");
  byId("pue-note").textContent = all
    ? sites.length > 1 ? `${how}; ${each}` : `${how} at ${sites[0].site}`
    : known.length ? `known for ${known.length} of ${sites.length} sites: ${each}` : "no facility meter, or the IT side is incomplete";
}

function completeness(total) {
  const nodes = STATES.map((name) => [name, total.nodes[name]]);
  const known = nodes.some(([, value]) => value);
  figure("completeness", known ? percent(total.completeness_ratio).replace(" %", "") : null, "%", known ? total.completeness_ratio : "");
  const said = nodes.filter(([, value]) => value).map(([name, value]) => `${count(value)} ${name}`).join(", ");
  byId("completeness-note").textContent = known ? `nodes: ${said}` : "no node is known";
  segments("states", nodes, `Nodes by state: ${said || UNKNOWN}`);
}

function spark(points) {
  const picture = byId("spark");
  const known = points.filter(([, value]) => value !== null);
  if (known.length < 2) return picture.replaceChildren();
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const values = known.map(([, value]) => value);
  const low = Math.min(...values), high = Math.max(...values), span = Math.max(high - low, high * 0.02) || 1;
  const x = (time) => (300 * (time - first)) / (last - first || 1);
  const y = (value) => 42 - (38 * (value - low)) / span;
  let line = "", area = "", pen = null;
  for (const [time, value] of points) {
    if (value === null) {
      area += pen === null ? "" : `L${x(pen)},46Z`;
      pen = null;
      continue;
    }
    line += `${pen === null ? "M" : "L"}${x(time)},${y(value)}`;
    area += pen === null ? `M${x(time)},46L${x(time)},${y(value)}` : `L${x(time)},${y(value)}`;
    pen = time;
  }
  area += pen === null ? "" : `L${x(pen)},46Z`;
  picture.setAttribute("viewBox", "0 0 300 46");
  picture.setAttribute("aria-label", `Power of the last ${Math.max(1, Math.round((last - first) / 60))} minutes: from ${wattsText(low)} to ${wattsText(high)}`);
  picture.replaceChildren(svg("path", { class: "area", d: area }), svg("path", { class: "line", d: line, "vector-effect": "non-scaling-stroke" }));
  return undefined;
}

function places({ sites, clusters }) {
  const rows = sites.flatMap((site) => {
    const carbon = site.carbon_intensity_grams_per_kwh;
    const facility = Object.values(site.facility)[0];
    const [measured] = site.pue;
    const head = [
      el("strong", {}, site.site), wattsText(site.it_power_watts), wattsText(facility),
      measured ? `${ratio(measured.ratio)} ${measured.method}` : UNKNOWN, carbon === undefined ? UNKNOWN : `${count(carbon)} g/kWh`,
    ];
    const own = clusters.filter((cluster) => cluster.site === site.site).map((cluster) => {
      const { measured: good, partial, missing } = cluster.nodes;
      const nodes = `${count(good)} of ${count(good + partial + missing)} nodes`;
      return [el("span", { class: "inner" }, cluster.cluster), wattsText(cluster.power_watts), "", el("span", { class: cluster.completeness_ratio < 1 ? "warn" : "" }, nodes), ""];
    });
    return [head, ...own];
  });
  byId("sites").replaceChildren(table("Sites and their clusters", ["Site, cluster", "#IT power", "#Facility", "PUE, nodes", "Carbon"], rows));
}

function sources({ sources: told }) {
  const more = told.up + told.down - told.list.length;
  byId("sources-note").textContent = `${count(told.up)} up, ${count(told.down)} down${more ? `; ${count(more)} not listed` : ""}`;
  const now = Date.now() / 1000;
  const rows = told.list.map((source) => [
    el("span", { class: source.up ? "up" : "down" }, source.up ? "up" : "down"), source.cluster,
    el("code", {}, source.source), count(source.samples), ago(source.last_success === undefined ? undefined : now - source.last_success),
  ]);
  byId("sources").replaceChildren(table("Sources and their state", ["State", "Cluster", "Source", "#Samples", "Last success"], rows));
}
