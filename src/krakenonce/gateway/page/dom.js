"use strict";
// Makes elements. Everything goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const ICONS = { // drawn, so that they look the same with any font; the words beside them say the same
  bad: "M3 3 13 13M13 3 3 13",
  limited: "M8 2 15 14H1ZM8 6V10M8 12V12.6",
  waits: "M8 1.5A6.5 6.5 0 1 0 8.01 1.5M8 4.5V8L10.5 10",
  fine: "M2.5 8.5 6.5 12.5 13.5 4",
};

export const byId = (id) => document.getElementById(id);
export const time = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
export const hourAndMinute = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });

// An element with classes and, inside, text or other elements. A text has itself as a title: it may be cut off.
export function make(name, classes, ...inside) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.append(...inside);
  if (inside.length === 1 && typeof inside[0] === "string" && /\b(name|cut)\b/.test(classes)) made.title = inside[0];
  return made;
}

export function svg(name, attributes, ...inside) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

export const icon = (kind) =>
  svg("svg", { class: `icon ${kind}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[kind] }));

// A text that is read aloud when it changes is written only then.
export function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

export function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  return (...texts) => words.every((word) => texts.join(" ").toLowerCase().includes(word));
}

// Says how many of all are shown, if it is not all.
export function count(id, shown, all) {
  say(`${id}-count`, shown === all ? `${all}` : `${shown} of ${all}`);
}
