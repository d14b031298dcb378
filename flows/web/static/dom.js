// Elements with text in them: nothing that comes from a server is ever taken as markup.

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let groups = 0;
export function radios(legend, choices, chosen, choose) {
  const name = `choice-${++groups}`;
  return make("fieldset", {}, make("legend", { text: legend }), ...choices.map(([value, text]) => {
    const input = make("input", { type: "radio", name, value });
    input.checked = value === chosen;
    input.addEventListener("change", () => choose(value));
    return make("label", {}, input, text);
  }));
}

export function choice(legend, choices, chosen, choose) {
  const select = make("select", { "aria-label": legend }, ...choices.map(([value, text]) => make("option", { value, text })));
  select.value = chosen;
  select.addEventListener("change", () => choose(select.value));
  return select;
}
