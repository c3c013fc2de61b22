"use strict";
// Asks for /v1/status every second and shows it, and says since when there is no answer.

import { showAccounts, title } from "./accounts.js";
import { showCalls, showCharts, showLocalKeys } from "./calls.js";
import { byId, make, say, search, time } from "./dom.js";

const PATIENCE = 5000; // milliseconds
let last = null; // the last status
let heard = Date.now() / 1000; // when it came, or the page was opened

function showFigures(status) {
  const sum = (values) => values.reduce((total, each) => total + each, 0);
  const pairs = [
    ["calls answered", sum(status.accounts.map((each) => each.answered)).toLocaleString()],
    ["not sent", sum(Object.values(status.not_sent)).toLocaleString()],
    ["unknown outcome", status.unknown_outcomes.toLocaleString()],
    ["nonces issued", status.nonces_issued.toLocaleString()],
    ["lead over the clock", `${Math.max(0, status.lead_seconds).toFixed(1)} s`],
    ["running for", `${Math.round((status.now - status.started) / 60)} min`],
  ];
  byId("figures").replaceChildren(...pairs.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
}

function show() {
  if (last === null) return;
  const found = search();
  title(showAccounts(last, found));
  showCharts(last.history);
  showFigures(last);
  showCalls("refusals", last.refusals, found);
  showCalls("calls", last.calls, found);
  showLocalKeys(last, found);
}

// The clock is apart: a screen reader reads the state aloud whenever it changes.
function tell(text, isBad, clock = "") {
  say("state", text);
  say("clock", clock);
  byId("state").className = isBad ? "bad" : "";
}

function tellOf({ stopping, state_silent_seconds: silent }) {
  if (stopping) tell("The gateway is stopping: it sends no more calls.", true);
  else if (silent) tell(`The state has not answered for ${silent.toFixed(1)} s: all calls wait for it.`, true);
  else tell("The gateway answers.", false, `Last look: ${time(heard)}`);
}

async function ask() {
  let answer;
  try {
    answer = await fetch("/v1/status", { signal: AbortSignal.timeout(PATIENCE) });
    if (answer.ok) last = await answer.json();
  } catch {
    const old = last === null ? "" : " What is below is old.";
    tell(`No answer from the gateway since ${time(heard)}.${old}`, true, `for ${Math.round(Date.now() / 1000 - heard)} s`);
    document.title = "(no answer) krakenonce gateway";
    document.body.className = "silent";
    return;
  }
  heard = Date.now() / 1000;
  document.body.className = answer.ok ? "" : "silent";
  if (answer.ok) {
    show();
    tellOf(last);
  } else {
    tell(`The gateway answers, but cannot say how it is: ${(await answer.text()).trim()}`, true);
    document.title = "(!) krakenonce gateway";
  }
}

async function refresh() {
  await ask();
  setTimeout(refresh, 1000);
}

byId("search").addEventListener("input", show);
refresh();
