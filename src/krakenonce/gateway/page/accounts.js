"use strict";
// The accounts: the line on top, what to do, and a card for each, those that are broken first.

import { byId, count, hourAndMinute, icon, make, svg } from "./dom.js";

const ORDER = ["bad", "limited", "waits", "fine"];
const NAMES = { refused: "refused", locked_out: "locked out", no_credentials: "no credentials", limited: "partly refused" };
const named = (counts) => Object.entries(counts).map(([name, each]) => `${name.replaceAll("_", " ")} ${each}`).join(", ");
const forHow = (seconds) => seconds === null ? "for good" : `${Math.round(seconds)} s`;

// How an account is: which of ORDER, and in words. What the page does not know of is not fine.
function look(account) {
  const { state, words, until } = account.health;
  if (state === "fine") {
    if (account.waiting) return { kind: "waits", text: `${account.waiting} waiting` };
    const full = Object.values(account.counters).some(([now, limit]) => now > 0.9 * limit);
    return full ? { kind: "waits", text: "rate limit used up" } : { kind: "fine", text: "fine" };
  }
  const name = NAMES[state] ?? state;
  const ends = until === null ? "" : ` until ${hourAndMinute(until)}`;
  const why = words && words !== name && state !== "locked_out" ? `: ${words}` : "";
  return { kind: state === "limited" ? "limited" : "bad", text: `${name}${ends}${why}` };
}

function grouped(all) {
  const groups = new Map();
  for (const { kind, text } of all) {
    const words = kind === "waits" ? "waiting" : text;
    groups.set(words, { kind, count: (groups.get(words)?.count ?? 0) + 1 });
  }
  const found = [...groups].map(([words, each]) => ({ words, ...each }));
  const rank = (each) => ["fine", "bad", "limited", "waits"].indexOf(each.kind);
  return found.sort((one, other) => rank(one) - rank(other) || other.count - one.count || one.words.localeCompare(other.words));
}

// Returns how many accounts are broken.
function summarize(all) {
  const bad = all.filter((each) => each.kind === "bad").length;
  const worst = ORDER.find((kind) => all.some((each) => each.kind === kind)) ?? "fine";
  const groups = grouped(all).map((each) => ({ kind: each.kind, text: `${each.count} ${each.words}` }));
  const text = groups.map((each) => each.text).join(", ") || "no accounts";
  const line = byId("summary"); // it is read aloud when it changes, and is written only then
  if (line.textContent !== text) {
    const parts = groups.flatMap((each, at) => [...(at ? [", "] : []), make("span", each.kind, each.text)]);
    line.replaceChildren(icon(worst), ...(parts.length ? parts : [text]));
  }
  const todo = new Map(); // the accounts of each sentence
  for (const { account, kind } of all.filter((each) => each.account.health.todo)) {
    const { todo: sentence } = account.health;
    todo.set(sentence, { kind, names: [...(todo.get(sentence)?.names ?? []), account.account] });
  }
  byId("todo").replaceChildren(...[...todo].map(([sentence, { kind, names }]) =>
    make("li", kind, make("b", "", names.join(", ")), `: ${sentence}`)));
  return bad;
}

function spark({ calls, bad }) {
  const most = Math.max(1, ...calls, ...bad);
  const bars = (values, kind) => values.flatMap((each, at) => each
    ? [svg("rect", { class: kind, x: at, width: 0.8, y: 20 - (each / most) * 20, height: (each / most) * 20 })] : []);
  const label = `${calls.reduce((total, each) => total + each, 0)} calls in the last hour`;
  return svg("svg", { class: "spark", viewBox: "0 0 60 20", preserveAspectRatio: "none", role: "img", "aria-label": label },
    ...bars(calls, "calls"), ...bars(bad, "bad"));
}

// Of each key that is not used now: why.
function passedOver(keys) {
  const lockedOut = keys.length > 1 ? keys.filter((key) => key.locked_out_seconds && !key.passed_over.length)
    .map((key) => `${key.key}: locked out, ${forHow(key.locked_out_seconds)}`) : [];
  return [...lockedOut, ...keys.flatMap((key) =>
    key.passed_over.map((out) => `${key.key}: ${out.why}, ${forHow(out.seconds)}`))].join("; ");
}

function details(account) {
  const level = ([now, limit]) => `${now.toFixed(1)} of ${limit}`;
  const { rest, engine } = account.counters;
  const keys = account.keys.length > 1 ? `${account.keys.length} keys` : `key ${account.key}`;
  const refused = named(account.refused);
  const out = passedOver(account.keys);
  return [
    `turn: ${account.turn_held_by}${rest ? ` · REST ${level(rest)}` : ""}${engine ? ` · engine ${level(engine)}` : ""}`,
    `${account.answered.toLocaleString()} answered${refused ? ` · refused: ${refused}` : ""} · ${account.tier} · ${keys}`,
    ...(out ? [`not used: ${out}`] : []),
  ];
}

function card({ account, kind, text }) {
  const facts = account.keys ? details(account).map((line) => make("span", "cut", line)) : [make("span", "", account.health.todo)];
  return make("li", kind,
    make("div", "head", icon(kind), make("b", "name", account.account),
      ...(account.keys ? [spark(account.minutes)] : []), make("span", "how cut", text)),
    make("div", "facts", ...facts));
}

export function showAccounts(status, found) {
  const all = [...status.unusable, ...status.accounts].map((account) => ({ account, ...look(account) }));
  const rank = (each) => ORDER.indexOf(each.kind);
  all.sort((one, other) => rank(one) - rank(other) || one.account.account.localeCompare(other.account.account));
  const shown = all.filter(({ account, text }) => found(account.account, text, account.health.words, account.key ?? "",
    ...status.local_keys.filter((key) => key.account === account.account).map((key) => key.name)));
  byId("accounts").replaceChildren(...shown.map(card));
  count("accounts", shown.length, all.length);
  return summarize(all);
}

export function title(problems) {
  const text = problems ? `(${problems}) krakenonce gateway` : "krakenonce gateway";
  if (document.title !== text) document.title = text;
}
