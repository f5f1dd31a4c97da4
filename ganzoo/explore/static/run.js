// The run over training time: its grids of samples, and its curves.

import { choice, element, hint, panel, slider } from "./controls.js";
import { askJson } from "./requests.js";

const REFRESH = 5000; // milliseconds
const FIRST = [/generator\/loss/, /discriminator\/loss/];

export function runPanel() {
  const picture = element("img", { id: "samples", alt: "Samples of the run" });
  const when = element("p", { class: "hint", role: "status" });
  let known = { samples: [], curves: {} };
  let place = -1; // of the grid that is shown; -1 is the newest
  const time = slider({ label: "Grid of samples", min: 0, max: 0, step: 1, value: 0, changed: (value) => {
    place = value >= known.samples.length - 1 ? -1 : Math.max(0, Math.round(value));
    show();
  } });
  const charts = [0, 1].map(() => {
    const canvas = element("canvas", { class: "curve", role: "img" });
    const made = choice({ label: "Curve", options: [], value: "", changed: () => show() });
    return { ...made, canvas };
  });

  function show() {
    const at = place < 0 ? known.samples.length - 1 : place;
    const images = known.samples[at];
    if (images !== undefined && !picture.src.endsWith(`run/${images}.png`)) picture.src = `run/${images}.png`;
    when.textContent = images === undefined ? "no samples yet" : `after ${images.toLocaleString("en")} images`;
    time.range.max = Math.max(0, known.samples.length - 1);
    time.set(Math.max(0, at));
    for (const { list, canvas } of charts) curve(canvas, known.curves[list.value] ?? [], list.value, images);
  }

  async function refresh() {
    if (!root.open || document.hidden) return;
    try { known = await askJson("run"); } catch (failure) { when.textContent = failure.message; return; }
    const names = Object.keys(known.curves).sort();
    charts.forEach(({ list }, i) => {
      if (list.options.length === names.length) return;
      const chosen = list.value || names.find((name) => FIRST[i].test(name)) || names[i] || "";
      list.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
      list.value = chosen;
    });
    show();
  }

  const root = panel("Training", { open: true, wide: true },
    hint("Grids of the same latents while the run trained, and its numbers. A run that goes on is followed."),
    element("div", { class: "history" },
      element("div", {}, time.root, when, picture),
      element("div", {}, ...charts.map(({ root: list, canvas }) => element("div", {}, list, canvas)))));
  root.addEventListener("toggle", refresh);
  setInterval(refresh, REFRESH);
  window.addEventListener("resize", show);
  refresh();
  return root;
}

function curve(canvas, points, name, now) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const style = getComputedStyle(document.documentElement);
  const [ink, line, accent] = ["--faint", "--line", "--accent"].map((each) => style.getPropertyValue(each).trim());
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "12px system-ui, sans-serif";
  const [left, right, top, bottom] = [54, width - 8, 8, height - 22];
  context.strokeStyle = line;
  context.strokeRect(left, top, right - left, bottom - top);
  context.fillStyle = ink;
  if (points.length < 2) {
    context.fillText("no numbers yet", left + 8, top + 20);
    return;
  }
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  let [low, high] = [Math.min(...ys), Math.max(...ys)];
  if (low === high) { low -= 1; high += 1; }
  const x = (value) => left + ((value - first) / (last - first || 1)) * (right - left);
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  const short = (value) => (Math.abs(value) >= 1e4 || (value && Math.abs(value) < 1e-2) ? value.toExponential(1) : value.toFixed(2));
  context.textAlign = "right";
  context.fillText(short(high), left - 5, top + 10);
  context.fillText(short(low), left - 5, bottom);
  context.fillText(`${last.toLocaleString("en")} images`, right, bottom + 15);
  context.textAlign = "left";
  context.fillText(first.toLocaleString("en"), left, bottom + 15);
  if (now !== undefined) {
    context.beginPath();
    context.moveTo(x(now), top);
    context.lineTo(x(now), bottom);
    context.stroke();
  }
  context.strokeStyle = accent;
  context.lineWidth = 1.6;
  context.beginPath();
  points.forEach(([px, py], i) => (i ? context.lineTo(x(px), y(py)) : context.moveTo(x(px), y(py))));
  context.stroke();
  canvas.setAttribute("aria-label", `${name}: from ${short(ys[0])} to ${short(ys.at(-1))}`);
}
