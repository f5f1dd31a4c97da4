// The panels whose controls are settings of one image: each control writes its setting and follows it.

import { button, checkbox, choice, element, hint, inner, numberField, panel, randomSeed, slider } from "./controls.js";
import { state } from "./state.js";

const MOST_CLASS_SLIDERS = 100;
const LARGEST_SEED = 2 ** 32 - 1;

function following(control, show) {
  state.addEventListener("change", ({ detail }) => { if (detail.from !== control) show(); });
  return control.root;
}

function settingSlider({ name, plain, ...options }) {
  const made = slider({ ...options, value: state.number(name, plain),
    changed: (value) => state.set({ [name]: value === plain ? null : value }, made) });
  return following(made, () => made.set(state.number(name, plain)));
}

function entrySlider(name, place, options) {
  const made = slider({ ...options, value: state.entries(name).get(place) ?? 0,
    changed: (value) => state.setEntries(name, state.entries(name).set(place, value), made) });
  return following(made, () => made.set(state.entries(name).get(place) ?? 0));
}

function pairSlider(name, place, options) {
  const read = () => state.get(name, "0,0").split(",").map(Number);
  const made = slider({ ...options, value: read()[place], changed: (value) => {
    const pair = read();
    pair[place] = value;
    state.set({ [name]: pair.some(Boolean) ? pair.join(",") : null }, made);
  } });
  return following(made, () => made.set(read()[place]));
}

function seedField(name, label, extra = []) {
  const made = numberField({ label, min: 0, max: LARGEST_SEED, value: state.number(name, 0), extra,
    changed: (seed) => state.set({ [name]: seed || null, ...(name === "seed" ? FRESH : {}) }, made) });
  return following(made, () => { made.input.value = state.number(name, 0); });
}

// What a new seed leaves behind: steps from the old one, and styles that were not its own.
export const FRESH = { walk: null, styles: null, path: null, at: null };

export const setSeed = (seed) => state.set({ seed: seed || null, ...FRESH });

function span(name, count, plain, label) {
  const read = () => state.span(name, plain);
  const sliders = ["first", "last"].map((end, place) => {
    const made = slider({ label: `${label}: ${end} style input`, min: 0, max: count - 1, step: 1, value: read()[place],
      changed: (value) => {
        const ends = read();
        ends[place] = Math.round(value);
        ends[1 - place] = place ? Math.min(ends[0], ends[1]) : Math.max(ends[0], ends[1]);
        state.set({ [name]: `${ends[0]}-${ends[1]}` }, made);
      } });
    return following(made, () => made.set(read()[place]));
  });
  return sliders;
}

export function seedPanel() {
  const step = (by) => () => setSeed(Math.max(0, state.number("seed", 0) + by));
  return panel("Seed", {},
    seedField("seed", "Seed", [
      button("−", step(-1), { "aria-label": "Seed before" }), button("+", step(1), { "aria-label": "Next seed" }),
      button("Random", () => setSeed(randomSeed()), { "aria-label": "Random seed" }),
    ]));
}

export function truncationPanel(about) {
  return panel("Truncation", {},
    settingSlider({ name: "psi", plain: 1, label: "psi: 0 is the mean image, 1 does not truncate", min: -1, max: 1.5, step: 0.01 }),
    inner("Only some style inputs", settingSlider({ name: "cutoff", plain: about.styles, min: 0, max: about.styles, step: 1,
      label: `Truncate the first … of ${about.styles} style inputs` })));
}

export function classPanel(about) {
  const entries = () => state.entries("class");
  const single = () => {
    const [[place, value] = [about.classes[0] ?? 0, 1], ...more] = entries();
    return more.length || value !== 1 ? "" : `${place}`;
  };
  const numbers = [...Array(about.labels).keys()];
  const made = choice({ label: "Class", value: single(), options: [["", "a mixture"], ...numbers.map((n) => [`${n}`, `${n}`])],
    changed: (value) => { if (value !== "") state.set({ class: value }, made); } });
  const root = following(made, () => { made.list.value = single(); });
  const weight = (place) => {
    const read = () => (state.values.has("class") ? entries() : new Map([[about.classes[0] ?? 0, 1]]));
    const one = slider({ label: `Class ${place}`, min: 0, max: 1, step: 0.01, value: read().get(place) ?? 0,
      changed: (value) => state.setEntries("class", read().set(place, value), one) });
    return following(one, () => one.set(read().get(place) ?? 0));
  };
  const mixture = about.labels <= MOST_CLASS_SLIDERS ? inner("Mix classes", ...numbers.map(weight)) : null;
  return panel("Class", {}, root, mixture);
}

export function noisePanel(about) {
  const made = choice({ label: "Noise", value: state.get("noise", "const"),
    options: [["const", "the network's own"], ["random", "drawn"], ["none", "none"]],
    changed: (value) => state.set({ noise: value === "const" ? null : value }, made) });
  const kind = following(made, () => { made.list.value = state.get("noise", "const"); });
  const count = about.noise.length;
  const read = () => {
    const found = state.get("strength", "1").split(",").map(Number);
    return found.length === count ? found : Array(count).fill(found[0]);
  };
  const write = (values, from) => {
    const same = values.every((value) => value === values[0]);
    state.set({ strength: same ? (values[0] === 1 ? null : values[0]) : values.join(",") }, from);
  };
  const all = slider({ label: "Strength at all levels", min: 0, max: 3, step: 0.01, value: read()[0],
    changed: (value) => write(Array(count).fill(value), all) });
  const level = (name, place) => {
    const one = slider({ label: `Strength at ${name}`, min: 0, max: 3, step: 0.01, value: read()[place],
      changed: (value) => { const values = read(); values[place] = value; write(values, one); } });
    return following(one, () => one.set(read()[place]));
  };
  const draw = () => state.set({ noise: "random", "noise-seed": randomSeed() });
  return panel("Noise", { open: false }, kind,
    seedField("noise-seed", "Seed of drawn noise", [button("Random", draw, { "aria-label": "Draw other noise" })]),
    following(all, () => all.set(read()[0])), inner("Each level by itself", ...about.noise.map(level)));
}

export function mixingPanel(about) {
  const made = checkbox({ label: "Take some styles from a second seed", checked: state.values.has("mix"),
    changed: (on) => state.set({ mix: on ? randomSeed() : null }, made) });
  const box = following(made, () => { made.box.checked = state.values.has("mix"); });
  const half = [Math.floor(about.styles / 2), about.styles - 1];
  const other = element("div", {},
    seedField("mix", "Second seed", [button("Random", () => state.set({ mix: randomSeed() }), { "aria-label": "Random second seed" })]),
    ...span("mix-layers", about.styles, half, "Taken"));
  const show = () => { other.hidden = !state.values.has("mix"); };
  state.addEventListener("change", show);
  show();
  return panel("Style mixing", { open: state.values.has("mix") }, box, other);
}

export function directionsPanel(about) {
  const axes = (name, count, reach, word) => [...Array(count).keys()].map((place) =>
    entrySlider(name, place, { label: `${word} ${place}`, min: -reach, max: reach, step: 0.05 }));
  const pca = axes("pca", about.pca, 4, "Component");
  const closed = axes("closed", about.closed, 10, "Eigenvector");
  const few = 5;
  return panel("Directions", {},
    hint("Principal components of the styles, in standard deviations"), ...pca.slice(0, few),
    pca.length > few ? inner("More components", ...pca.slice(few)) : null,
    closed.length ? inner("Eigenvectors of the weights (closed form)", ...closed) : null,
    inner("Only some style inputs", ...span("layers", about.styles, [0, about.styles - 1], "Moved")),
    element("div", { class: "row" }, button("Back to 0", () => state.set({ pca: null, closed: null, layers: null }))));
}

export function movePanel() {
  return panel("Whole image", {},
    pairSlider("move", 0, { label: "To the right, in image sides", min: -0.5, max: 0.5, step: 0.005 }),
    pairSlider("move", 1, { label: "Down, in image sides", min: -0.5, max: 0.5, step: 0.005 }),
    settingSlider({ name: "rotate", plain: 0, label: "Turn, degrees counter-clockwise", min: -180, max: 180, step: 1 }),
    settingSlider({ name: "scale", plain: 1, label: "Enlarge", min: 0.5, max: 2, step: 0.01 }),
    element("div", { class: "row" }, button("Back to rest", () => state.set({ move: null, rotate: null, scale: null }))));
}
