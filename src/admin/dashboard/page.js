// Everything that comes from the interface is put in as text, never as HTML.
"use strict";

const EACH = 2000;
const KEPT = 60;
const $ = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token");
let before = null;
const series = { rate: [], errors: [], latency: [] };

function make(tag, attributes = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...inside.filter((part) => part !== null && part !== undefined));
  return node;
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, method = "GET") {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (method !== "GET") headers["x-cloakroom-admin"] = "1";
  const answer = await fetch(`/api/${path}`, { method, headers, cache: "no-store" });
  const json = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, json.detail ?? json.message ?? `status ${answer.status}`);
  return json;
}

// A table; on narrow screens each cell says what it is.
function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((cell, at) => {
      const last = heads[at] === "";
      return make("td", last ? { class: "act" } : { "data-label": heads[at] }, cell);
    })));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

const mono = (text) => make("span", { class: "mono" }, text);
const when = (text) => {
  const at = new Date(text);
  return make("time", { datetime: text, title: text }, at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
};

function duration(seconds) {
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${Math.floor(seconds)} s`;
}

function milliseconds(seconds) {
  if (seconds === null) return "–";
  return seconds < 1 ? `${+(seconds * 1000).toPrecision(2)} ms` : `${+seconds.toPrecision(2)} s`;
}

// Of what came since: the bucket that so large a share of the requests is within.
function quantile(now, then, share) {
  const total = now.count - then.count;
  if (total <= 0) return null;
  for (let at = 0; at < now.up_to.length; at += 1) {
    const [most, count] = now.up_to[at];
    if (count - (then.up_to[at]?.[1] ?? 0) >= share * total) return most;
  }
  return now.up_to.at(-1)[0];
}

function chart(id, values) {
  const svg = $(id);
  const most = Math.max(...values.map((value) => value ?? 0), 1e-9);
  const spot = (value, at) => `${(at / (KEPT - 1)) * 100},${(1 - (value ?? 0) / most) * 40 + 2}`;
  const from = KEPT - values.length;
  const spots = values.map((value, at) => spot(value, from + at));
  svg.setAttribute("viewBox", "0 0 100 44");
  svg.setAttribute("preserveAspectRatio", "none");
  const shape = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const base = shape("line", { class: "base", x1: 0, x2: 100, y1: 42, y2: 42 });
  const start = (from / (KEPT - 1)) * 100;
  const area = shape("polygon", { class: "area", points: `${start},42 ${spots.join(" ")} 100,42` });
  const curve = shape("polyline", { class: "curve", points: spots.join(" ") });
  svg.replaceChildren(base, ...(values.length > 1 ? [area, curve] : []));
}

function note(name, value, text) {
  const all = series[name];
  all.push(value);
  if (all.length > KEPT) all.shift();
  $(name).textContent = text;
  chart(`${name}-chart`, all);
}

function house(status) {
  const rows = [
    ["version", status.version],
    ["running for", duration(status.uptime_seconds)],
    ["listening on", status.listeners.join(", ")],
    ["connections", String(status.connections)],
    ["store", status.store.sessions === null ? status.store.kind : `${status.store.kind}, ${status.store.sessions} sessions`],
    ["reloads", `${status.reloads.taken} taken, ${status.reloads.refused} refused`],
  ];
  $("house").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  $("sessions-count").textContent = status.store.sessions === null ? "with the visitors" : `${status.store.sessions} with data`;
  const certificates = status.certificates.map((one) => {
    const left = make("span", { class: one.days_left < 14 ? "bad" : "good" }, `${one.days_left} days left`);
    return [one.names, one.listener, when(one.ends), left];
  });
  $("certificates-section").hidden = certificates.length === 0;
  $("certificates").replaceChildren(table(["Names", "Listener", "Expires", "Left"], certificates));
}

function told(status) {
  const amiss = [...status.reasons];
  if (!status.reloads.last_successful) amiss.push("the last reload was refused");
  document.querySelector(".dot").className = `dot ${amiss.length ? "bad" : "good"}`;
  $("state-text").textContent = amiss.length ? amiss.join("; ") : "ready";
  $("about").textContent = `${status.version} · process ${status.pid}`;
  const now = performance.now();
  if (before && before.status.pid === status.pid) {
    const seconds = (now - before.at) / 1000;
    const rate = (status.requests_total - before.status.requests_total) / seconds;
    const errors = (status.errors_total - before.status.errors_total) / seconds;
    const latency = quantile(status.latency, before.status.latency, 0.95);
    note("rate", rate, rate.toFixed(rate < 10 ? 1 : 0));
    note("errors", errors, errors.toFixed(errors < 10 ? 1 : 0));
    note("latency", latency, milliseconds(latency));
  }
  before = { at: now, status };
  house(status);
}

async function look() {
  const [status, upstreams, cookies] = await Promise.all([ask("status"), ask("upstreams"), ask("cookies")]);
  $("login").hidden = true;
  $("shown").hidden = false;
  told(status);
  const servers = upstreams.upstreams.flatMap((upstream) => upstream.servers.map((server) => [
    upstream.name, mono(server.address), make("span", { class: server.up ? "good" : "bad" }, server.up ? "up" : "down"),
  ]));
  $("upstreams").replaceChildren(table(["Upstream", "Server", "State"], servers));
  const seen = cookies.cookies.map((one) => [
    mono(one.name), one.upstream, one.action,
    one.findings.length
      ? make("ul", { class: "warn" }, ...one.findings.map((finding) => make("li", {}, finding)))
      : make("span", { class: "soft" }, "nothing"),
  ]);
  $("cookies").replaceChildren(seen.length ? table(["Name", "Upstream", "Rule", "Found"], seen)
    : make("p", { class: "soft" }, "No app has set one yet."));
}

function fails(error) {
  if (error instanceof Refused && error.status === 401) {
    $("shown").hidden = true;
    $("login").hidden = false;
    $("state-text").textContent = "token required";
    if (token) $("token-error").textContent = "Wrong token.";
    token = null;
    sessionStorage.removeItem("token");
    $("token").focus();
    return false;
  }
  document.querySelector(".dot").className = "dot bad";
  $("state-text").textContent = error instanceof Refused ? error.message : "cloakroom does not answer";
  before = null;
  return true;
}

let turn = null;
async function go() {
  clearTimeout(turn);
  let goesOn = true;
  if (!document.hidden) {
    try {
      await look();
    } catch (error) {
      goesOn = fails(error);
    }
  }
  if (goesOn) turn = setTimeout(go, EACH);
}

function sure(text) {
  const dialog = $("confirm");
  $("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

async function end(path, text) {
  if (!await sure(text)) return;
  try {
    const { revoked } = await ask(path, "DELETE");
    $("results").replaceChildren();
    $("found").textContent = revoked === 1 ? "1 session ended." : `${revoked} sessions ended.`;
  } catch (error) {
    $("found").textContent = error.message;
  }
}

function sessions(all, whole) {
  const rows = all.map((one) => {
    const held = [...one.fields, ...one.cookies].map((part) => `${part.name} (${part.bytes} B)`).join(", ");
    const button = make("button", { type: "button", class: "danger" }, "End");
    button.setAttribute("aria-label", `End session ${one.id}`);
    button.addEventListener("click", () =>
      end(`sessions/${one.id}`, `End the session of ${one.principal ?? "nobody"}, last seen ${new Date(one.last_seen).toLocaleString()}?`));
    return [one.principal ?? "–", one.realm, mono(one.id), when(one.last_seen), when(one.expires), held || "–", button];
  });
  const parts = [table(["Principal", "Realm", "Id", "Last seen", "Expires", "Holds", ""], rows)];
  if (whole && all.length > 1) {
    const button = make("button", { type: "button", class: "danger" }, `End all ${all.length}`);
    button.addEventListener("click", () => end(whole.path, `End all ${all.length} sessions of ${whole.name}?`));
    parts.push(make("p", {}, button));
  }
  $("results").replaceChildren(...parts);
}

$("search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const who = $("who").value.trim();
  const byId = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(who);
  $("results").replaceChildren();
  $("found").textContent = "";
  try {
    if (!who) {
      const page = await ask("sessions?limit=50");
      $("found").textContent = page.sessions.length === 0 ? "There is nobody with data." : page.next ? "The first 50:" : "";
      if (page.sessions.length) sessions(page.sessions, null);
      return;
    }
    if (byId) {
      sessions([await ask(`sessions/${encodeURIComponent(who)}`)], null);
      return;
    }
    const path = `principals/${encodeURIComponent(who)}?realm=${encodeURIComponent($("realm").value.trim())}`;
    const found = (await ask(path)).sessions;
    $("found").textContent = found.length ? "" : `Nobody is logged in there as ${who}.`;
    if (found.length) sessions(found, { path, name: who });
  } catch (error) {
    $("found").textContent = error.message;
  }
});

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  $("token").value = "";
  $("token-error").textContent = "";
  go();
});

$("reload").addEventListener("click", async () => {
  const outcome = $("reload-outcome");
  outcome.hidden = false;
  outcome.className = "";
  outcome.textContent = "reading …";
  try {
    outcome.textContent = (await ask("reload", "POST")).message;
  } catch (error) {
    outcome.className = "bad";
    outcome.textContent = error.message;
  }
  go();
});

document.addEventListener("visibilitychange", () => { if (!document.hidden) go(); });
go();
