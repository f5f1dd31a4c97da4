// A grid of neighbours: a click on one goes there.

import { button, element, hint, panel, randomSeed, slider } from "./controls.js";
import { ask, Newest } from "./requests.js";
import { fail } from "./stage.js";
import { state } from "./state.js";

export function walkPanel(about) {
  const [height, width] = about.shape;
  const places = ["above left", "above", "above right", "left", "here", "right", "below left", "below", "below right"];
  let plane = Number(state.get("walk").split(",").at(-1).split(":")[0] || 1);
  let step = 0.3;

  const steps = () => state.get("walk").split(",").filter(Boolean);
  const go = (cell) => {
    const before = steps();
    const last = before.length && Number(before.at(-1).split(":")[0]) === plane ? before.pop() : `${plane}:0:0`;
    const [x, y] = last.split(":").slice(1).map(Number);
    const moved = [x + step * ((cell % 3) - 1), y + step * (Math.floor(cell / 3) - 1)].map((v) => Number(v.toFixed(6)));
    state.set({ walk: [...before, `${plane}:${moved[0]}:${moved[1]}`].join(",") });
  };
  const canvases = places.map(() => element("canvas", { width, height }));
  const buttons = canvases.map((canvas, cell) => {
    const made = button("", () => go(cell), { "aria-label": `Go ${places[cell]}`, class: cell === 4 ? "here" : "" });
    made.append(canvas);
    return made;
  });
  buttons[4].disabled = true;
  const grid = element("div", { id: "near" }, ...buttons);

  const newest = new Newest(async ([query, from, by]) => {
    const answer = await ask(`near?of=${encodeURIComponent(query)}&plane=${from}&step=${by}`);
    const picture = await createImageBitmap(await answer.blob());
    canvases.forEach((canvas, cell) => {
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, width, height);
      context.drawImage(picture, (cell % 3) * width, Math.floor(cell / 3) * height, width, height, 0, 0, width, height);
    });
  }, fail);
  let timer = 0;
  const refresh = () => { // after a pause, for nine images cost more than one
    clearTimeout(timer);
    if (root.open && !state.get("path")) timer = setTimeout(() => newest.ask([state.query(), plane, step]), 250);
  };
  const size = slider({ label: "Size of a step", min: 0.05, max: 1, step: 0.05, value: step,
    changed: (value) => { step = Math.min(Math.max(value, 0.01), 5); refresh(); } });
  const root = panel("Walk", { open: false },
    hint("Images around this one, in two directions of the latents. Choose one to go there."), grid, size.root,
    element("div", { class: "row" },
      button("Other directions", () => { plane = randomSeed(); refresh(); }),
      button("Back to the seed", () => state.set({ walk: null }))));
  root.addEventListener("toggle", refresh);
  state.addEventListener("change", refresh);
  return root;
}
