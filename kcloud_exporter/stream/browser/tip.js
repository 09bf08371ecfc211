// One tooltip for everything that is drawn: shown on hover and on focus, hidden by Escape.

import { byId, el } from "./dom.js";

const box = byId("tip");

export function show(target, title, lines) {
  box.replaceChildren(el("strong", {}, title), ...lines.map((line) => el("span", {}, line)));
  box.hidden = false;
  const at = target.getBoundingClientRect();
  const own = box.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - own.width / 2), innerWidth - own.width - 8);
  const above = at.top - own.height - 8;
  box.style.left = `${left + scrollX}px`;
  box.style.top = `${(above < 8 ? at.bottom + 8 : above) + scrollY}px`;
}

export const hide = () => {
  box.hidden = true;
};

export function explains(element, said) {
  const open = () => {
    const told = said();
    if (told) show(element, told.title, told.lines);
  };
  element.addEventListener("pointerenter", open);
  element.addEventListener("focus", open);
  element.addEventListener("pointerleave", hide);
  element.addEventListener("blur", hide);
}

addEventListener("keydown", (event) => event.key === "Escape" && hide());
