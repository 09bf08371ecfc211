// Draws /api/v1/openapi.json: an index, one card per operation, a form to try it, and its schema. No library, no CDN.
"use strict";

const $ = (id) => document.getElementById(id);
let schemas = {};
let answers = {};

/** An element: make("p", {class: "x"}, "text", other). Text is always text, never markup. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A paragraph whose `words` in backquotes are code. */
function prose(attributes, text) {
  const paragraph = make("p", attributes);
  text.split("`").forEach((part, at) => paragraph.append(at % 2 ? make("code", {}, part) : part));
  return paragraph;
}

const resolve = (schema) => (schema && schema.$ref ? schemas[schema.$ref.split("/").pop()] || {} : schema || {});

/** What a schema is, in a word or two. */
function kind(schema) {
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  const of = resolve(schema);
  if (of.enum) return of.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (of.type === "array") return `array of ${kind(of.items || {})}`;
  if (schema.$ref) return of.title || "object";
  return of.type || "any";
}

/** The object schema inside a schema, if there is one to unfold. */
function inner(schema) {
  for (const each of schema.anyOf || [schema]) {
    let of = resolve(each);
    if (of.type === "array") of = resolve(of.items);
    if (of.properties) return of;
  }
  return null;
}

function tree(schema, depth, path) {
  const list = make("ul");
  for (const [name, field] of Object.entries(schema.properties || {})) {
    const item = make("li", {}, make("code", {}, name), " ", make("i", {}, kind(field)), " ",
      make("span", {}, field.description || ""));
    const below = inner(field);
    if (below && depth < 7 && !path.includes(below)) item.append(tree(below, depth + 1, [...path, below]));
    list.append(item);
  }
  return list;
}

/** JSON with its parts coloured, as text nodes in spans. */
function coloured(value) {
  const text = JSON.stringify(value, null, 2);
  const pre = make("pre", { tabindex: "0" });
  const parts = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;
  let done = 0;
  for (const part of text.matchAll(parts)) {
    pre.append(text.slice(done, part.index));
    const style = part[1] ? (part[2] ? "k" : "s") : part[3] ? "n" : "w";
    pre.append(make("span", { class: style }, part[1] || part[0]), part[2] || "");
    done = part.index + part[0].length;
  }
  pre.append(text.slice(done));
  return pre;
}

function control(parameter, id) {
  const schema = parameter.schema || {};
  const words = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
  const common = { id, name: parameter.name, required: parameter.required, "aria-describedby": `${id}-about` };
  if (words) {
    const fallback = schema.default === undefined ? "" : ` (${schema.default})`;
    const options = words.map((word) => make("option", { value: word }, word));
    return make("select", common, parameter.required ? null : make("option", { value: "" }, `–${fallback}`), ...options);
  }
  const hint = schema.default === undefined ? parameter.example : schema.default;
  return make("input", { ...common, type: "text", autocomplete: "off", spellcheck: "false",
    placeholder: hint === undefined ? "" : String(hint) });
}

/** The path and query that a form says. A part of the path that is left empty takes its example. */
function address(path, parameters, form) {
  const query = new URLSearchParams();
  let filled = path;
  for (const parameter of parameters) {
    const said = form.elements[parameter.name].value.trim();
    if (parameter.in === "path") {
      const value = said || String(parameter.example || "");
      filled = filled.replace(`{${parameter.name}}`, value.split("/").map(encodeURIComponent).join("/"));
    } else if (said) query.set(parameter.name, said);
  }
  const tail = query.toString();
  return filled + (tail ? `?${tail}` : "");
}

async function attempt(url, output, button) {
  button.disabled = true;
  output.replaceChildren(make("p", { class: "told" }, "asking…"));
  const begun = performance.now();
  try {
    const response = await fetch(`.${url}`, { headers: { Accept: "application/json, text/plain" } });
    const text = await response.text();
    const took = performance.now() - begun;
    let shown;
    try { shown = coloured(JSON.parse(text)); } catch { shown = make("pre", { tabindex: "0" }, text.slice(0, 200000)); }
    const size = new Blob([text]).size;
    output.replaceChildren(
      make("p", { class: "told" }, make("b", { class: response.ok ? "good" : "bad" }, `${response.status} ${response.statusText}`),
        ...[`${took.toFixed(0)} ms`, `${size.toLocaleString("en")} bytes`, response.headers.get("content-type"),
          response.headers.get("etag") && `ETag ${response.headers.get("etag")}`].filter(Boolean)
          .map((said) => make("span", {}, said))),
      shown);
  } catch (error) {
    output.replaceChildren(make("p", { class: "told" }, make("b", { class: "bad" }, `no answer: ${error.message}`)));
  } finally {
    button.disabled = false;
  }
}

function fill(body, path, operation) {
  const parameters = operation.parameters || [];
  const form = make("form", { novalidate: true });
  parameters.forEach((parameter, at) => {
    const id = `${operation.operationId}-${at}`;
    form.append(make("div", { class: "field" },
      make("label", { for: id }, parameter.name, parameter.required ? make("small", {}, " needed") : null),
      control(parameter, id), prose({ id: `${id}-about` }, parameter.description || "")));
  });
  const link = make("a", { href: `.${path}` }, path);
  const button = make("button", { type: "submit" }, "Try it");
  const output = make("div", { "aria-live": "polite" });
  const say = () => { const url = address(path, parameters, form); link.href = `.${url}`; link.textContent = url; return url; };
  form.append(make("div", { class: "go" }, button, link));
  form.addEventListener("input", say);
  form.addEventListener("submit", (event) => { event.preventDefault(); attempt(say(), output, button); });
  const [type, content] = Object.entries(operation.responses["200"].content || {})[0] || ["", {}];
  const about = inner(content.schema || {});
  const errors = Object.entries(operation.responses).filter(([status]) => status !== "200");
  body.append(prose({}, operation.description || ""));
  if (parameters.length) body.append(make("h4", {}, "Parameters"));
  body.append(form, output);
  if (about) body.append(make("details", {}, make("summary", {}, "Fields of the answer"), make("div", { class: "schema" }, tree(about, 0, [about]))));
  if (content.example !== undefined) {
    const example = type === "application/json" ? coloured(content.example) : make("pre", { tabindex: "0" }, String(content.example));
    body.append(make("details", {}, make("summary", {}, "An example"), example));
  }
  body.append(make("details", {}, make("summary", {}, "Errors"), make("ul", { class: "errors" }, ...errors.map(([status, answer]) =>
    make("li", {}, make("code", {}, status), (answer.$ref ? answers[answer.$ref.split("/").pop()] : answer).description)))));
  say();
}

function card(path, verb, operation) {
  const id = operation.operationId;
  const shown = make("span", { class: "path" });
  path.split(/(\{[^}]+\})/).forEach((part) => shown.append(part.startsWith("{") ? make("b", {}, part) : part));
  const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": `${id}-body` },
    make("span", { class: "verb" }, verb.toUpperCase()), shown, make("span", { class: "sum" }, operation.summary || ""));
  const body = make("div", { class: "body", id: `${id}-body`, hidden: true });
  const article = make("article", { id }, make("h3", {}, button), body);
  const open = (wanted) => {
    if (wanted && !body.childElementCount) fill(body, path, operation);
    body.hidden = !wanted;
    button.setAttribute("aria-expanded", String(wanted));
  };
  button.addEventListener("click", () => {
    open(body.hidden);
    if (!body.hidden) history.replaceState(null, "", `#${id}`);
  });
  article.open = open;
  return article;
}

function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  for (const link of document.querySelectorAll("#list a")) {
    if (link.hash.slice(1) === id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const article = id && $(id);
  if (article && article.open) {
    article.open(true);
    article.scrollIntoView();
    article.querySelector("button").focus({ preventScroll: true });
  }
  $("index").classList.remove("open");
  $("menu").setAttribute("aria-expanded", "false");
}

function find() {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("#list section")) {
    let any = false;
    for (const item of section.querySelectorAll("li")) {
      item.hidden = !words.every((word) => item.dataset.text.includes(word));
      any = any || !item.hidden;
    }
    section.hidden = !any;
  }
}

function draw(told) {
  schemas = (told.components || {}).schemas || {};
  answers = (told.components || {}).responses || {};
  $("version").textContent = told.info.version;
  const main = $("content");
  main.replaceChildren(prose({ class: "lead" }, told.info.description || ""));
  for (const tag of told.tags || []) {
    const list = make("ul");
    const section = make("section", {}, make("h2", {}, tag.name), list);
    main.append(make("h2", { class: "tag" }, tag.name, make("small", {}, tag.description || "")));
    for (const [path, item] of Object.entries(told.paths)) {
      for (const [verb, operation] of Object.entries(item)) {
        if (!(operation.tags || []).includes(tag.name)) continue;
        main.append(card(path, verb, operation));
        list.append(make("li", { "data-text": `${path} ${operation.summary}`.toLowerCase() },
          make("a", { href: `#${operation.operationId}`, title: path }, operation.summary)));
      }
    }
    $("list").append(section);
  }
  follow();
}

$("find").addEventListener("input", find);
$("menu").addEventListener("click", () => {
  $("menu").setAttribute("aria-expanded", String($("index").classList.toggle("open")));
});
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("index").classList.add("open");
    $("find").focus();
  } else if (event.key === "Escape" && document.activeElement === $("find")) {
    $("find").value = "";
    find();
    $("content").focus();
  }
});
addEventListener("hashchange", follow);
fetch("api/v1/openapi.json").then((response) => {
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.json();
}).then(draw).catch((error) => { $("loading").textContent = `The document cannot be read: ${error.message}`; });
