// What can be computed of a page's accessibility: every complaint is one line. An expression, so that it can be evaluated.
(() => {
  const complaints = [];
  const visible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.getClientRects().length > 0;
  const clipped = (element) => Boolean(element.closest(".hidden, .skip"));
  const where = (element) => `<${element.tagName.toLowerCase()} id="${element.id}" class="${element.getAttribute("class") ?? ""}">`;

  const channels = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, two) => {
    const [high, low] = [luminance(one), luminance(two)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ["NOSCRIPT", "SCRIPT", "OPTION"].includes(element.tagName) || !visible(element) || clipped(element)) continue;
    const style = getComputedStyle(element);
    const size = Number.parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ink = channels(element instanceof SVGElement ? style.fill : style.color);
    const found = contrast(ink, ground(element));
    if (found < (large ? 3 : 4.5)) complaints.push(`contrast ${found.toFixed(2)} of "${walker.currentNode.data.trim().slice(0, 30)}" in ${where(element)}`);
    if (size < 11) complaints.push(`text of ${size} px in ${where(element)}`);
  }

  for (const element of document.querySelectorAll("button, select, input, a[href], [role=img], [role=region], [role=group], summary, svg:not([aria-hidden=true]), section")) {
    if (element.closest("noscript") || (element.tagName === "svg" && element.closest("[aria-hidden=true]"))) continue;
    const named = element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.textContent.trim()
      || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent;
    if (!named?.trim()) complaints.push(`no name: ${where(element)}`);
  }
  for (const image of document.images) if (!image.hasAttribute("alt")) complaints.push(`no alt: ${image.src}`);
  for (const element of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(element.getAttribute("aria-labelledby"))) complaints.push(`labelled by nothing: ${where(element)}`);
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption || !table.querySelector("th[scope]")) complaints.push(`a table without caption or heads: ${where(table.parentElement)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) complaints.push(`id twice: ${id}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) complaints.push(`heading skips a level: ${heading.textContent}`);
    level = own;
  }
  for (const landmark of ["header", "main", "footer", "h1"]) {
    if (document.querySelectorAll(landmark).length !== 1) complaints.push(`not exactly one ${landmark}`);
  }
  if (!document.documentElement.lang) complaints.push("no language");
  if (document.documentElement.scrollWidth > innerWidth) complaints.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}`);
  for (const element of document.querySelectorAll("button, select, summary, .switch label")) {
    const box = element.getBoundingClientRect();
    if (visible(element) && Math.min(box.width, box.height) < 24) complaints.push(`small target ${box.width}x${box.height}: ${where(element)}`);
  }
  return complaints;
})()
