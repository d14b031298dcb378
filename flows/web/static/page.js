// The page: what it consists of comes from the catalogue (layout), what the numbers are from the stream.

import { page, section, tile } from "./cards.js";
import { course } from "./charts.js";
import { load } from "./days.js";
import { choice, make, put, radios } from "./dom.js";
import * as text from "./format.js";
import { live, watch } from "./live.js";

const $ = (id) => document.getElementById(id);
const STATES = {
  connecting: () => "connecting",
  live: () => "live",
  behind: (told) => `catching up: numbers are ${text.seconds(told.behind)} old`,
  stale: (told) => `stale: nothing published for ${text.seconds(told.age)}`,
  absent: () => "no numbers yet",
  unreachable: () => "Redis does not answer",
  gone: () => "connection lost, trying again",
};

const REASONS = {
  absent: "Nothing is published for this product, or its job has seen no event yet. This page shows numbers as soon as there are some.",
  stale: "The numbers below stand still: the job that publishes them has stopped, or does not reach Redis.",
};

function time(element, ms) {
  put(element, ms === undefined ? text.NOTHING : text.clockAndDay(ms));
  if (ms !== undefined) element.setAttribute("datetime", new Date(ms).toISOString());
}

function header() {
  document.body.dataset.state = live.state.state;
  document.body.dataset.age = Math.floor(live.state.age ?? 0);
  put($("state-text"), STATES[live.state.state](live.state));
  put($("reason"), live.state.why ?? REASONS[live.state.state] ?? "");
  time($("as-of"), text.number(live.fields.get("_as_of")));
  time($("watermark"), text.number(live.fields.get("_watermark")));
}

function footer() {
  const of = (account) => text.number(live.fields.get(`accounting.${account}`)) ?? 0;
  const reasons = [...live.fields.keys()].filter((name) => name.startsWith("accounting.rejected."));
  const rejected = reasons.reduce((sum, name) => sum + Number(live.fields.get(name)), 0);
  const why = reasons.filter((name) => Number(live.fields.get(name))).map((name) => `${name.slice("accounting.rejected.".length).replaceAll("_", " ")} ${text.count(Number(live.fields.get(name)))}`);
  const missing = of("consumed") - of("accepted") - of("duplicate") - of("excluded") - rejected;
  put($("accounting"), live.fields.has("accounting.consumed")
    ? `${text.count(of("consumed"))} records read: ${text.count(of("accepted"))} counted (${text.count(of("late"))} of them late), ${text.count(of("duplicate"))} copies, `
      + `${text.count(of("excluded"))} excluded, ${text.count(rejected)} rejected${why.length ? ` (${why.join(", ")})` : ""}. ${missing ? `${text.count(missing)} RECORDS UNACCOUNTED FOR.` : "All accounted for."}`
    : "");
}

let due = false;
function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    header();
    for (const view of page.views) view();
    footer();
    document.body.dataset.published = live.fields.get("_published_at") ?? "";
  });
}

function courses(layout) {
  const fields = Object.entries(layout.courses), body = $("course");
  if (!fields.length) return () => {};
  let shown = layout.courses.active_users ? "active_users" : fields[0][0];
  const title = make("h3", { id: "course-title" }), chart = course();
  async function load() {
    const field = shown, answer = await fetch(`minutes/${encodeURIComponent(field)}`);
    if (!answer.ok || field !== shown) return;
    const told = await answer.json();
    body.hidden = !told.today.length && !told.before.some(Boolean);
    put(title, `${layout.courses[field]} per minute`);
    chart.set(layout.courses[field], told);
  }
  const choose = (field) => { shown = field; load(); };
  body.append(make("div", { class: "head" }, title, choice("Course of", fields, shown, choose)), chart.plot, chart.key);
  return () => load().catch(() => {}); // the page says that the connection is lost
}

async function build() {
  const answer = await fetch("layout");
  if (!answer.ok) throw new Error((await answer.text()).trim());
  const layout = page.layout = await answer.json();
  text.settle(layout);
  page.window = layout.window;
  document.title = `${layout.product} · Tidegauge`;
  put($("product"), layout.product.replaceAll("_", " "));
  const windows = Object.keys(layout.windows);
  if (windows.length > 1) {
    $("choices").append(radios("Window", windows.map((window) => [window, window]), page.window, (window) => {
      page.window = window;
      changed();
    }));
  }
  $("tiles").append(...layout.tiles.map(tile));
  const closed = courses(layout);
  $("sections").append(...layout.sections.map(section));
  watch(changed, () => {
    closed();
    load(live.end).catch(() => {});
  });
}

async function start() {
  try {
    await build();
  } catch (error) {
    document.body.dataset.state = "gone";
    put($("state-text"), STATES.gone());
    put($("reason"), error instanceof TypeError ? "" : error.message);
    if (!page.layout) setTimeout(start, 2000);
  }
}
start();
