// Written by ipex-fleet from templates/www/front-page.js; an edit made here is undone by the next run.
// Shows the fleet's live data. What nodes say becomes text and never markup: every string goes through `make`.
"use strict";

const FORMAT = 1;
const SLOWEST_SECONDS = 60;
// A node not heard of for fewer seconds than this is not worth a word: each is asked every second.
const LATELY_SECONDS = 5;

// State of a service on a node: mark, tone, word.
const STATES = {
  serving: ["full", "well", "serving"],
  doubted: ["triangle", "moving", "in doubt"],
  returning: ["half", "moving", "returning"],
  draining: ["half", "moving", "draining"],
  changing: ["half", "moving", "changing"],
  condemned: ["cross", "ill", "condemned"],
  down: ["cross", "ill", "down"],
  silent: ["dash", "ill", "silent"],
};
const UNKNOWN = ["ring", "", "unknown"];
const DOUBT = "looks down, as too many others do: it is kept";

const page = document.documentElement;
const { live, pollSeconds, staleSeconds } = document.body.dataset;
const POLL_SECONDS = Number(pollSeconds);
const STALE_SECONDS = Number(staleSeconds);

// When the data on the page were written, on this browser's own clock; before the first ones, nothing.
let written = null;
let failures = 0;

function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function mark([shape, tone]) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("class", `mark ${tone}`);
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#mark-${shape}`);
  picture.append(use);
  return picture;
}

function state(look, ...words) {
  return make("span", "state", mark(look), make("span", "", ...words));
}

function cell(...children) {
  const found = make("td", "", ...children);
  found.setAttribute("role", "cell");
  return found;
}

function some(count, what, many = `${what}s`) {
  return `${count} ${count === 1 ? what : many}`;
}

function list(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function ago(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

// Replaces only what has become another, so that nothing flickers and no selection is lost.
function fill(parent, fresh) {
  fresh.forEach((child, place) => {
    const old = parent.childNodes[place];
    if (!old) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

function say(id, words) {
  const place = document.getElementById(id);
  if (place.textContent !== words) place.textContent = words;
}

// --- services

function showService(service) {
  const row = document.querySelector(`tr[data-service="${CSS.escape(service.name)}"]`);
  if (!row) return;
  const all = service.serving === service.nodes;
  const look = all ? STATES.serving : service.serving ? STATES.returning : STATES.down;
  fill(row.querySelector('[data-cell="serving"]'), [state(look, `${service.serving} of ${some(service.nodes, "node")}`)]);
  fill(row.querySelector('[data-cell="in-flight"]'), [make("span", "", `${service.in_flight ?? "unknown"}`)]);
}

// --- nodes

function isWell(node) {
  return !node.silent && node.services.every((service) => service.state === "serving");
}

function heard(node) {
  if (node.heard_seconds_ago === null) return "never heard";
  return node.heard_seconds_ago < LATELY_SECONDS ? "" : `last heard ${ago(node.heard_seconds_ago)} ago`;
}

function serviceItem(service) {
  const look = STATES[service.state] ?? UNKNOWN;
  const words = [make("span", "service-name", service.name), ` ${look[2]}`];
  if (service.in_flight) words.push(`, ${service.in_flight} in flight`);
  const reason = service.reason || (service.state === "doubted" ? DOUBT : "");
  return make("li", "", state(look, ...words, reason ? make("span", "under", reason) : null));
}

function figure(name, text, share) {
  const value = make("dd", "", text);
  if (share !== undefined) {
    const done = make("span");
    done.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
    const bar = make("span", "bar", done);
    bar.setAttribute("aria-hidden", "true");
    value.append(bar);
  }
  return make("div", "", make("dt", "", name), value);
}

function memory(gpu) {
  const used = (gpu.memory_used / 2 ** 30).toFixed(1);
  if (gpu.memory_total === null) return figure("Memory", `${used} GiB`);
  return figure("Memory", `${used} of ${(gpu.memory_total / 2 ** 30).toFixed(1)} GiB`, gpu.memory_used / gpu.memory_total);
}

function gpuItem(gpu) {
  const figures = make("dl", "figures");
  if (gpu.busy !== null) figures.append(figure("Busy", `${Math.round(100 * gpu.busy)} %`, gpu.busy));
  if (gpu.memory_used !== null) figures.append(memory(gpu));
  if (gpu.temperature !== null) figures.append(figure("Hottest", `${Math.round(gpu.temperature)} °C`));
  if (gpu.power !== null) figures.append(figure("Power", `${Math.round(gpu.power)} W`));
  const driver = make("span", "quiet", ` ${gpu.driver}`);
  return make("li", "gpu", gpu.product, driver, figures.childElementCount ? figures : null);
}

function gpuCell(node) {
  if (node.measured_seconds_ago === null) return cell(make("span", "quiet", "not measured yet"));
  const age = node.numbers_old ? make("p", "under", `measured ${ago(node.measured_seconds_ago)} ago`) : null;
  if (!node.gpus.length) return cell(make("span", "quiet", "no GPU with a driver"), age);
  const list = make("ul", node.numbers_old ? "is-old" : "", ...node.gpus.map(gpuItem));
  return cell(list, age);
}

function nodeRow(node) {
  const name = make("th", "", node.name);
  name.setAttribute("scope", "row");
  name.setAttribute("role", "rowheader");
  for (const line of [node.silent ? "does not answer" : node.reason, heard(node)]) {
    if (line) name.append(make("span", "under", line));
  }
  if (node.generation) name.append(make("span", "under", `generation ${node.generation}`));
  const row = make("tr", "", name, cell(make("ul", "", ...node.services.map(serviceItem))), gpuCell(node));
  row.setAttribute("role", "row");
  return row;
}

// --- objectives

function objectiveItem(objective) {
  const met = objective.left >= 0;
  const name = objective.service ? `${objective.slo}, ${objective.service}` : objective.slo;
  const words = [make("span", "service-name", name), met ? " met" : " missed"];
  const left = `${Math.floor(100 * objective.left + 1e-6)} % of the error budget left`;
  const budget = met ? left : "the error budget is overspent";
  return make("li", "", state(met ? STATES.serving : STATES.condemned, ...words), make("span", "quiet", budget));
}

function objectiveItems(objectives) {
  if (objectives === null) return [make("li", "", state(UNKNOWN, "unknown: no monitor has told"))];
  return objectives.map(objectiveItem);
}

// --- the whole page

function headline(data) {
  const nodes = data.nodes;
  const gone = data.services.filter((service) => service.serving === 0).map((service) => service.name);
  const well = nodes.filter(isWell).length;
  if (!nodes.length) return "This fleet has no GPU nodes.";
  if (nodes.every((node) => node.silent)) return "No node answers.";
  if (gone.length) return `No node serves ${gone.join(" or ")}.`;
  if (well === nodes.length) return well === 1 ? "The node serves." : `All ${well} nodes serve.`;
  const others = nodes.filter((node) => !isWell(node)).map((node) => node.name);
  const named = list(others.length > 3 ? [...others.slice(0, 2), `${others.length - 2} others`] : others);
  const serve = `${well} of ${some(nodes.length, "node")} ${well === 1 ? "serves" : "serve"} in full`;
  // A name is not broken at its hyphens.
  return `${serve}, ${named.replaceAll("-", "\u2011")} ${others.length === 1 ? "does" : "do"} not.`;
}

function show(data) {
  page.classList.add("is-live");
  data.services.forEach(showService);
  const rows = document.getElementById("node-rows");
  // Who needs a look comes first: a hundred nodes are many screens.
  const inOrder = [...data.nodes].sort((one, other) => isWell(one) - isWell(other));
  fill(rows, inOrder.map(nodeRow));
  rows.closest("section").hidden = !data.nodes.length;
  fill(document.getElementById("objective-rows"), objectiveItems(data.objectives));
  say("headline", headline(data));
}

function showAge() {
  const age = written === null ? 0 : Math.max(0, Math.round((performance.now() - written) / 1000));
  const stale = age >= STALE_SECONDS || (written === null && failures > 0);
  page.classList.toggle("is-stale", stale);
  if (stale) say("headline", written === null ? "No word from the fleet." : "No fresh word from the fleet.");
  if (written === null) say("age", failures ? "The gateway has no live data. It is asked again." : "");
  else if (stale) say("age", `What is shown is ${ago(age)} old. The gateway is asked again.`);
  else say("age", failures ? "The gateway did not answer just now." : "Live.");
}

// The age of the data is told by the gateway's clock alone: this browser's may be wrong.
async function ask() {
  const answer = await fetch(live, { cache: "no-store", signal: AbortSignal.timeout(1000 * STALE_SECONDS) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const data = await answer.json();
  if (data.format !== FORMAT) throw new Error(`format ${data.format}`);
  const now = Date.parse(answer.headers.get("Date"));
  written = performance.now() - Math.max(0, now - 1000 * data.time || 0);
  show(data);
}

async function follow() {
  try {
    await ask();
    failures = 0;
  } catch {
    failures += 1;
  }
  showAge();
  setTimeout(follow, 1000 * Math.min(SLOWEST_SECONDS, POLL_SECONDS * 2 ** Math.min(failures, 10)));
}

setInterval(showAge, 1000);
follow();
