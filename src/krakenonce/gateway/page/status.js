"use strict";
// Asks for /v1/status every second and shows it. Everything goes in as text, never as HTML.

const SHOWN = 120; // seconds of the charts
const history = { rate: [], latency: [] };
let before = null;

const element = (id) => document.getElementById(id);
const sum = (values) => values.reduce((total, each) => total + each, 0);
const named = (counts) => Object.entries(counts).map(([name, count]) => `${name}: ${count}`).join(", ");

function level(counter) {
  if (!counter) return "no limit";
  const [now, limit] = counter;
  return { text: `${now.toFixed(1)} of ${limit}`, bad: now > 0.9 * limit };
}

const wait = (number) => number === null ? "for good" : `${Math.round(number)} s`;

// Of each key that is not used now: why.
function passedOver(keys) {
  const lockedOut = keys.length > 1 ? keys.filter((key) => key.locked_out_seconds && !key.passed_over.length)
    .map((key) => `${key.key}: locked out, ${wait(key.locked_out_seconds)}`) : [];
  return [...lockedOut, ...keys.flatMap((key) => key.passed_over.map((out) => `${key.key}: ${out.why}, ${wait(out.seconds)}`))]
    .join("; ");
}

function rows(id, lines, nothing) {
  const body = element(id);
  body.replaceChildren(...(lines.length ? lines : [[nothing]]).map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) {
      const data = row.insertCell();
      data.textContent = cell.text ?? cell;
      if (cell.bad) data.className = "bad";
      if (!lines.length) data.colSpan = 10;
    }
    return row;
  }));
}

function figures(pairs) {
  element("figures").replaceChildren(...pairs.map(([name, value]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const data = document.createElement("dd");
    term.textContent = name;
    data.textContent = value;
    pair.append(term, data);
    return pair;
  }));
}

function chart(name, value) {
  const values = history[name];
  values.push(value);
  if (values.length > SHOWN) values.shift();
  const most = Math.max(...values);
  element(`${name}-top`).textContent = most.toFixed(most < 10 ? 1 : 0);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", values.map((each, index) =>
    `${SHOWN - values.length + index},${29 - (most ? (each / most) * 28 : 0)}`).join(" "));
  element(name).replaceChildren(line);
}

function show(status) {
  const seconds = before ? Math.max(status.now - before.now, 0.001) : 1;
  const total = (which, field) => (which ? sum(which.accounts.map((each) => each[field])) : 0);
  const answered = total(status, "answered") - (before ? total(before, "answered") : total(status, "answered"));
  const took = total(status, "upstream_seconds") - (before ? total(before, "upstream_seconds") : 0);
  chart("rate", answered / seconds);
  chart("latency", answered ? (took / answered) * 1000 : 0);
  before = status;
  figures([
    ["calls answered", total(status, "answered").toLocaleString()],
    ["not sent", sum(Object.values(status.not_sent)).toLocaleString()],
    ["unknown outcome", status.unknown_outcomes.toLocaleString()],
    ["nonces issued", status.nonces_issued.toLocaleString()],
    ["lead over the clock", `${Math.max(0, status.lead_seconds).toFixed(1)} s`],
    ["running for", `${Math.round((status.now - status.started) / 60)} min`],
  ]);
  rows("accounts", status.accounts.map((each) => [
    each.account, each.keys.length > 1 ? `${each.keys.length} keys` : each.key, each.tier, each.turn_held_by, each.waiting, level(each.counters.rest), level(each.counters.engine),
    each.answered.toLocaleString(),
    { text: named(each.refused) || "none", bad: "invalid_nonce" in each.refused },
    { text: passedOver(each.keys) || (each.locked_out_seconds ? seconds(each.locked_out_seconds) : "no"),
      bad: passedOver(each.keys) !== "" || each.locked_out_seconds > 0 },
  ]), "no accounts");
  rows("local", status.local_keys.map((each) => [
    each.name, each.account, each.allow.join(", "), (status.answered[each.name] ?? 0).toLocaleString(),
  ]), "none; `krakenonce gateway add-key` makes one");
  rows("refusals", status.refusals.map((each) => [
    new Date(each.at * 1000).toLocaleTimeString(), each.local_key || "unknown", each.method, each.reason,
  ]), "none");
}

async function refresh() {
  const state = element("state");
  try {
    const answer = await fetch("/v1/status");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const status = await answer.json();
    show(status);
    const silent = status.state_silent_seconds;
    state.textContent = status.stopping ? "stopping"
      : silent ? `the state has not answered for ${silent.toFixed(1)} s; all calls wait for it` : "running";
    state.className = status.stopping || silent ? "bad" : "";
  } catch (error) {
    state.textContent = `no answer from the gateway (${error.message}); the figures below are old`;
    state.className = "bad";
  }
  setTimeout(refresh, 1000);
}

refresh();
