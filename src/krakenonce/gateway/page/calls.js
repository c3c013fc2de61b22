"use strict";
// The graphs of the last hour, the last calls, and the local keys.

import { byId, count, icon, make, svg, time } from "./dom.js";

const HEIGHT = 30;
const OUTCOMES = { executed: ["fine", "ok"], refused: ["bad", "refused"], not_sent: ["limited", "not sent"], unknown: ["bad", "unknown"] };
const sum = (values) => values.reduce((total, each) => total + each, 0);
const short = (seconds) => seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;

function bars(values, kind) {
  const most = Math.max(1, ...values);
  return values.flatMap((each, at) => each ? [svg("rect",
    { class: kind, x: at, width: 0.8, y: HEIGHT - (each / most) * HEIGHT, height: (each / most) * HEIGHT })] : []);
}

function figure(heading, told, ...inside) {
  const drawing = svg("svg", { viewBox: `0 0 60 ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${heading}, last hour: ${told}` }, ...inside);
  return make("figure", "", make("figcaption", "", make("b", "", heading), ` ${told}`), drawing,
    make("div", "axis", make("span", "", "60 min ago"), make("span", "", "now")));
}

function counts(heading, values, kind) {
  return figure(heading, `${sum(values).toLocaleString()}, at most ${Math.max(...values).toLocaleString()} a minute`,
    ...bars(values, kind));
}

export function showCharts({ calls, refused, unknown, median_wait: median, longest_wait: longest }) {
  const most = Math.max(...longest);
  // Only the minutes with calls have a median: a bar up to the longest wait, and in it one up to the median.
  const wait = [["longest", longest], ["median", median]].flatMap(([kind, values]) => values.flatMap((each, at) => each
    ? [svg("rect", { class: kind, x: at, width: 0.8, y: HEIGHT - (each / most) * HEIGHT, height: (each / most) * HEIGHT })]
    : []));
  const middle = median.filter(Boolean).sort((one, other) => one - other);
  const told = most ? `longest ${short(most)}, median ${short(middle[middle.length >> 1])}` : "none";
  byId("charts").replaceChildren(
    counts("Calls", calls, "calls"), counts("Refused, not sent", refused, "bad"), counts("Unknown outcome", unknown, "bad"),
    figure("Bots' wait", told, ...wait));
}

function rows(id, lines, all, nothing) {
  byId(id).replaceChildren(...(lines.length ? lines : [[make("td", "none", nothing)]]).map((cells) => {
    const row = make("tr", "", ...cells);
    row.setAttribute("role", "row");
    for (const cell of cells) cell.setAttribute("role", "cell");
    return row;
  }));
  count(id, lines.length, all);
}

export function showCalls(id, calls, found) {
  const shown = calls.filter((each) => found(each.local_key, each.account, each.method, OUTCOMES[each.outcome][1], each.reason));
  rows(id, shown.map((each) => {
    const [kind, word] = OUTCOMES[each.outcome];
    return [
      make("td", "when", time(each.at)), make("td", "method cut", each.method || "unknown method"),
      make("td", `outcome ${kind}`, icon(kind), word),
      make("td", "who cut", `${each.local_key || "unknown local key"}${each.account ? ` → ${each.account}` : ""}`),
      make("td", "why cut", each.reason === "unknown_outcome" ? "no answer came" : each.reason),
    ];
  }), calls.length, calls.length ? "nothing found" : "none");
}

export function showLocalKeys(status, found) {
  const shown = status.local_keys.filter((each) => found(each.name, each.account, ...each.allow));
  rows("local", shown.map((each) => [
    make("td", "name", each.name), make("td", "account cut", each.account), make("td", "allow cut", each.allow.join(", ")),
    make("td", "answered", `${(status.answered[each.name] ?? 0).toLocaleString()} answered`),
  ]), status.local_keys.length, status.local_keys.length ? "nothing found" : "none; `krakenonce gateway add-key` makes one");
}
