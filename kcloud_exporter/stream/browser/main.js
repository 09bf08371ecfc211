// The live page: one stream in, everything drawn from its newest state.

import { Connection } from "./connection.js";
import { byId, el } from "./dom.js";
import * as figures from "./figures.js";
import * as flow from "./flow.js";
import { ago, clock, percent, ratio, wattsText } from "./format.js";
import * as heatmap from "./heatmap.js";

const SPEAK_EVERY = 60_000;
let spoken = 0;
let shown = null;

function draw(state) {
  shown = state;
  figures.draw(state);
  flow.draw(state.flow);
  heatmap.draw(state.accelerators);
  clusters(state.known_clusters);
  byId("cycle").textContent = `Cycle of ${clock(state.timestamp)}, one every ${state.interval_seconds} s`;
  document.title = `${wattsText(state.total.power_watts)} · kcloud-exporter live`;
  if (Date.now() - spoken > SPEAK_EVERY) {
    spoken = Date.now();
    const pue = state.total.pue ? ratio(state.total.pue.ratio) : "unknown";
    byId("announce").textContent = `Total power ${wattsText(state.total.power_watts)}, PUE ${pue}, completeness ${percent(state.total.completeness_ratio)}`;
  }
}

function clusters(names) {
  const select = byId("cluster");
  const now = ["", ...names];
  if (now.join("\n") === [...select.options].map((option) => option.value).join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...now.map((name) => el("option", { value: name }, name || "all clusters")));
  select.value = now.includes(chosen) ? chosen : "";
}

const WORDS = { connecting: "connecting", live: "live", lost: "stream lost", stale: "no new cycle" };

function tell(status, changed) {
  const age = shown ? (Date.now() - Date.parse(shown.timestamp)) / 1000 : undefined;
  byId("pill-text").textContent = shown ? `${WORDS[status]}, ${ago(age)}` : WORDS[status];
  if (!changed) return;
  document.body.dataset.state = status;
  const banner = byId("banner");
  banner.hidden = status === "live" || status === "connecting";
  if (banner.hidden) return;
  const old = shown ? `What is shown is of ${clock(shown.timestamp)} and may not be true any more.` : "There is nothing to show yet.";
  banner.textContent = status === "lost"
    ? `The stream is lost. ${old} Trying to connect again.`
    : `No new cycle has come for ${Math.round((Date.now() - connection.heard) / 1000)} s. ${old}`;
}

const connection = new Connection(draw, tell);
const select = byId("cluster");

function follow() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (name && ![...select.options].some((option) => option.value === name)) select.append(el("option", { value: name }, name));
  select.value = name;
  connection.open(name);
}

select.addEventListener("change", () => {
  location.hash = encodeURIComponent(select.value);
});
addEventListener("hashchange", follow);

const system = matchMedia("(prefers-color-scheme: dark)");
const theme = byId("theme");
const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const press = () => theme.setAttribute("aria-pressed", String(isDark()));
theme.addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("kcloud-theme", next);
  } catch { /* storage is off: the choice lasts as long as the page */ }
  press();
});
system.addEventListener("change", press);
press();
follow();
