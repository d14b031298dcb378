// The "?" of a number: its definition, how it is computed from what, and where else to get it.

import { make } from "./dom.js";
import { NOTHING } from "./format.js";

const box = document.getElementById("why");
const AGAIN_MS = 1000;
let open = null; // { button, cell }
let timer = 0;

export function why(cell, title) {
  const button = make("button", { class: "why", type: "button", text: "?", "aria-label": `What is ${title}?`, "aria-expanded": "false", "aria-controls": "why" });
  button.addEventListener("click", () => (open?.button === button ? shut() : show(button, cell())));
  return button;
}

async function show(button, cell) {
  shut();
  open = { button, cell };
  button.setAttribute("aria-expanded", "true");
  await ask();
}

export function shut(back = false) {
  clearTimeout(timer);
  if (!open) return;
  open.button.setAttribute("aria-expanded", "false");
  if (back) open.button.focus();
  open = null;
  if (box.matches(":popover-open")) box.hidePopover();
}

async function ask() {
  const mine = open;
  try {
    const answer = await fetch(`definition/${encodeURIComponent(mine.cell)}`);
    if (open !== mine) return;
    if (answer.ok) fill(await answer.json());
  } catch {
    // the page says that the connection is lost; what was told stays
  }
  if (open !== mine) return;
  timer = setTimeout(ask, AGAIN_MS);
}

function fill(told) {
  const fact = (name, ...value) => [make("dt", { text: name }), make("dd", {}, ...value)];
  const close = make("button", { class: "close", type: "button", "aria-label": "Close", text: "×" });
  close.addEventListener("click", () => shut(true));
  const inputs = told.inputs.map((input) => make("tr", {}, make("th", { scope: "row", text: input.cell }), make("td", { "data-input": input.cell, text: input.value ?? NOTHING })));
  const computed = told.formula ? [make("p", { class: "note", text: `Computed: ${told.formula}` })] : [make("p", { class: "note", text: "Counted, not computed from other numbers." })];
  if (inputs.length) computed.push(make("table", {}, make("tbody", {}, ...inputs)));
  if (told.unpublished) computed.push(make("p", { class: "note", text: `${inputs.length ? "And " : "From "}${told.unpublished} counts that are not published.` }));
  const scroll = box.scrollTop, had = box.contains(document.activeElement);
  box.replaceChildren(
    close,
    make("h4", { text: told.cell }),
    make("p", { text: told.help }),
    make("p", { class: "now", "data-exact": told.cell, text: told.value ?? "no value now" }),
    make("p", { class: "note", text: `${told.unit}, since ${told.since}` }),
    ...computed,
    make("dl", {}, ...fact("Redis", make("code", { text: told.redis })), ...fact("PromQL", told.promql ? make("code", { text: told.promql }) : "in Redis only")),
  );
  box.scrollTop = scroll;
  if (!box.matches(":popover-open")) box.showPopover();
  if (had) close.focus();
  place();
}

function place() {
  box.style.left = "0px"; // measured where it has all the room it wants
  const at = open.button.getBoundingClientRect(), own = box.getBoundingClientRect();
  const below = at.bottom + 8 + own.height < innerHeight || at.top < own.height;
  box.style.left = `${scrollX + Math.max(12, Math.min(at.left - 12, document.documentElement.clientWidth - own.width - 12))}px`;
  box.style.top = `${scrollY + (below ? at.bottom + 8 : at.top - own.height - 8)}px`;
}

document.addEventListener("keydown", (event) => event.key === "Escape" && shut(true));
document.addEventListener("pointerdown", (event) => {
  if (open && !box.contains(event.target) && event.target !== open.button) shut();
});
