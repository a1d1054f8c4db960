/** Small tools for building the panel: elements, icons, notices. Text is always set as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  chevron: "M6 4l4 4-4 4",
  insert: "M13 3v4.500a2 2 0 0 1-2 2H3.500M6.500 6.500l-3 3 3 3",
  again: "M13 8a5 5 0 1 1-1.500-3.600M13 2.500v3h-3",
};

/** `h("p.muted", { title: "…" }, "text", child)`: an element. `on…` properties are listeners. */
export function h(what, properties, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) {
    element.className = classes.map((name) => `enclave-${name}`).join(" ");
  }
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value !== undefined && value !== null && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `enclave-icon enclave-icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A thin bar; `part` from 0 to 1. */
export function bar(part, tone, label) {
  const filled = h(`div.barFill.tone-${tone}`);
  filled.style.width = `${Math.max(0, Math.min(1, part)) * 100}%`;
  const shown = { role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(part * 100) };
  return h("div.bar", { ...shown, "aria-label": label }, filled);
}

export function notice(tone, ...content) {
  return h(`div.notice.tone-${tone}`, { role: tone === "bad" ? "alert" : "status" }, ...content);
}

/** A list of facts: `[[term, value], …]`; a value is text or an element. */
export function facts(pairs) {
  return h("dl.facts", {}, ...pairs.filter(Boolean).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}
