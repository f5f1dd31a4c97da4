// Small parts of the page: elements, sliders with numbers, panels.

let count = 0;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const button = (text, onclick, attributes = {}) =>
  element("button", { type: "button", onclick, ...attributes }, text);

// A range with a number beside it. `set(value)` shows a value without calling `changed`.
export function slider({ label, min, max, step, value, changed }) {
  const id = `slider${count++}`;
  const range = element("input", { type: "range", id, min: `${min}`, max: `${max}`, step: `${step}` });
  const number = element("input", { type: "number", step: "any", "aria-label": `${label}, as a number` });
  const set = (shown) => { range.value = shown; number.value = Number(Number(shown).toFixed(4)); };
  const tell = (text) => { if (text !== "" && Number.isFinite(Number(text))) changed(Number(text)); };
  range.addEventListener("input", () => { number.value = range.value; tell(range.value); });
  number.addEventListener("input", () => { range.value = number.value; tell(number.value); });
  set(value);
  const root = element("div", { class: "slider" }, element("label", { for: id }, label), range, number);
  return { root, set, range };
}

export function choice({ label, options, value, changed }) {
  const id = `choice${count++}`;
  const list = element("select", { id, onchange: () => changed(list.value) },
    ...options.map(([name, text]) => element("option", { value: name }, text)));
  list.value = value;
  return { root: element("div", { class: "field" }, element("label", { for: id }, label), list), list };
}

export function numberField({ label, min, max, value, changed, extra = [] }) {
  const id = `number${count++}`;
  const input = element("input", { type: "number", id, min: `${min}`, max: `${max}`, step: "1" });
  input.value = value;
  input.addEventListener("input", () => {
    const found = Number(input.value);
    if (input.value !== "" && Number.isInteger(found) && found >= min && found <= max) changed(found);
  });
  return { root: element("div", { class: "field" }, element("label", { for: id }, label), input, ...extra), input };
}

export function checkbox({ label, checked, changed }) {
  const id = `check${count++}`;
  const box = element("input", { type: "checkbox", id, checked, onchange: () => changed(box.checked) });
  return { root: element("div", { class: "field" }, box, element("label", { for: id }, label)), box };
}

export function panel(title, { open = true, wide = false } = {}, ...children) {
  return element("details", { class: wide ? "panel wide" : "panel", open }, element("summary", {}, title), ...children);
}

export const inner = (title, ...children) => element("details", {}, element("summary", {}, title), ...children);
export const hint = (text) => element("p", { class: "hint" }, text);
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
