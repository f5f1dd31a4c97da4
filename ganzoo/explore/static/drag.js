// Dragging: handles on the image are moved to targets, inside of what may change.

import { button, element, hint, numberField, panel } from "./controls.js";
import { ask, follow, post } from "./requests.js";
import { byId, draw, fail, show } from "./stage.js";
import { state } from "./state.js";

const MOST = 16;
const RATE = 0.01; // of Adam; published are 0.002 for faces of 512 pixels and more
const KEPT = ["seed", "class", "noise", "noise-seed", "strength", "weights"]; // settings that go on after dragging

export function dragPanel(about) {
  const [height, width] = about.shape;
  const [frame, svg, mask] = [byId("frame"), byId("points"), byId("mask")];
  const pairs = []; // of {handle: [x, y], target: [x, y] or null}
  let job = null;
  let before = null; // the address before the last drag
  let held = null;

  mask.width = width;
  mask.height = height;
  const paint = mask.getContext("2d", { willReadFrequently: true });
  const list = element("ol", { class: "points", "aria-label": "Points" });
  const mode = element("select", { id: "drag-mode", onchange: () => refresh() },
    element("option", { value: "points" }, "places points"), element("option", { value: "brush" }, "paints what may change"));
  const note = element("p", { class: "hint", role: "status" });
  const steps = numberField({ label: "Most steps", min: 1, max: 2000, value: 200, changed: () => {} });
  const rate = element("input", { type: "number", id: "drag-rate", min: "0.0001", max: "1", step: "any" });
  rate.value = RATE;

  // Drawing of points

  const shape = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const middle = ([x, y]) => [x + 0.5, y + 0.5];

  function drawPoints() {
    const unit = Math.max(width, height) / 100;
    svg.replaceChildren();
    if (!root.open) return;
    for (const { handle, target } of pairs) {
      const [hx, hy] = middle(handle);
      if (target) {
        const [tx, ty] = middle(target);
        svg.append(shape("line", { x1: hx, y1: hy, x2: tx, y2: ty, stroke: "#fff", "stroke-width": unit * 1.2 }),
          shape("line", { x1: hx, y1: hy, x2: tx, y2: ty, stroke: "#222", "stroke-width": unit * 0.6 }),
          shape("circle", { cx: tx, cy: ty, r: unit * 1.8, fill: "#1450c8", stroke: "#fff", "stroke-width": unit * 0.6 }));
      }
      svg.append(shape("circle", { cx: hx, cy: hy, r: unit * 1.8, fill: "#c2182b", stroke: "#fff", "stroke-width": unit * 0.6 }));
    }
  }

  function refresh() {
    drawPoints();
    const numbers = pairs.map((pair, i) => {
      const input = (point, axis, name) => {
        const made = element("input", { type: "number", step: "1", min: "0", max: `${(axis ? height : width) - 1}`,
          "aria-label": `${name} ${i + 1}, ${"xy"[axis]}` });
        made.value = Math.round(point[axis]);
        made.addEventListener("input", () => {
          if (made.value !== "") { point[axis] = clamp(Number(made.value), axis); drawPoints(); }
        });
        return made;
      };
      const target = pair.target ? [element("span", { class: "swatch target" }), input(pair.target, 0, "Target"), input(pair.target, 1, "Target")] : ["click its target"];
      return element("li", { class: "field" }, element("span", { class: "swatch handle" }),
        input(pair.handle, 0, "Handle"), input(pair.handle, 1, "Handle"), ...target,
        button("×", () => { pairs.splice(i, 1); refresh(); }, { "aria-label": `Remove point ${i + 1}` }));
    });
    list.replaceChildren(...numbers);
    frame.classList.toggle("dragging", root.open);
    mask.hidden = !root.open;
    start.disabled = !pairs.some(({ target }) => target);
  }

  // Pointer on the image

  const clamp = (value, axis) => Math.min(Math.max(Math.round(value), 0), (axis ? height : width) - 1);
  function place(event) {
    const box = byId("image").getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width * width - 0.5, 0),
      clamp((event.clientY - box.top) / box.height * height - 0.5, 1)];
  }
  const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

  function brush([x, y]) {
    paint.fillStyle = "#ffd500";
    paint.beginPath();
    paint.arc(x + 0.5, y + 0.5, Math.max(1.5, Math.max(width, height) * 0.06), 0, 2 * Math.PI);
    paint.fill();
  }

  function down(event) {
    if (!root.open || job || event.button) return;
    const point = place(event);
    event.preventDefault();
    byId("image").setPointerCapture(event.pointerId);
    if (mode.value === "brush") { held = "brush"; brush(point); return; }
    const near = pairs.flatMap((pair) => [pair.handle, pair.target]).filter((each) => each && apart(each, point) <= Math.max(1, width / 40));
    const open = pairs.at(-1);
    if (near.length) held = near[0];
    else if (open && !open.target) { open.target = point; held = point; }
    else if (pairs.length < MOST) { pairs.push({ handle: point, target: null }); held = null; }
    refresh();
  }

  function move(event) {
    if (!held) return;
    const point = place(event);
    if (held === "brush") brush(point);
    else { [held[0], held[1]] = point; drawPoints(); }
  }

  byId("image").addEventListener("pointerdown", down);
  byId("image").addEventListener("pointermove", move);
  byId("image").addEventListener("pointerup", () => { if (held && held !== "brush") refresh(); held = null; });

  // The work

  function maskText() {
    const { data } = paint.getImageData(0, 0, width, height);
    const bits = new Uint8Array(Math.ceil(width * height / 8));
    let isUsed = false;
    for (let i = 0; i < width * height; i += 1) {
      if (data[4 * i + 3] > 127) { bits[i >> 3] |= 128 >> (i & 7); isUsed = true; }
    }
    return isUsed ? btoa(bits.reduce((text, byte) => text + String.fromCharCode(byte), "")) : "";
  }

  const start = button("Start", async () => {
    const given = pairs.filter(({ target }) => target);
    pairs.splice(0, pairs.length, ...given);
    before = { query: state.query(), styles: state.fragment.get("styles") };
    setBusy(true);
    try {
      job = await post("jobs/drag", JSON.stringify({ settings: state.query(), mask: maskText(), steps: Number(steps.input.value) || 200,
        rate: Number(rate.value) || RATE, handles: given.map(({ handle }) => handle), targets: given.map(({ target }) => target) }));
      let drawn = -1;
      const done = await follow(job, async (known) => {
        note.textContent = known.note;
        if (known.step === undefined || known.step === drawn) return;
        drawn = known.step;
        known.handles.forEach((handle, i) => { given[i].handle = handle; });
        refresh();
        try { await draw(await (await ask(`jobs/${job.job}/picture`)).blob()); } catch { /* the next one comes */ }
      }, 60);
      if (done.styles) take(done);
    } catch (error) { fail(error); }
    setBusy(false);
  }, { class: "main" });

  function take(done) {
    state.keep("styles", done.text);
    const kept = KEPT.filter((name) => state.values.has(name)).map((name) => `${name}=${encodeURIComponent(state.get(name))}`);
    state.replace([`styles=${done.styles}`, ...kept].join("&"));
    back.hidden = false;
  }

  function setBusy(isBusy) {
    if (!isBusy) job = null;
    start.hidden = isBusy;
    end.hidden = !isBusy;
    if (isBusy) end.focus(); else refresh();
  }

  const end = button("Stop", () => job && post(`jobs/${job.job}/stop`).catch(fail), { hidden: true });
  const back = button("Undo", () => {
    state.keep("styles", before.styles ?? "");
    state.replace(before.query);
    back.hidden = true;
  }, { hidden: true });
  const add = button("Add a point", () => {
    const [x, y] = [width >> 1, height >> 1];
    if (pairs.length < MOST) pairs.push({ handle: [x, y], target: [clamp(x + width / 8, 0), y] });
    refresh();
  });
  const clear = button("Clear", () => {
    pairs.length = 0;
    paint.clearRect(0, 0, width, height);
    refresh();
    show();
  });

  const root = panel("Drag", { open: false },
    hint("Choose a point of the image (red), then where it shall go (blue), and Start. Painting limits what may change."),
    element("div", { class: "field" }, element("label", { for: "drag-mode" }, "A click on the image"), mode),
    list, element("div", { class: "row" }, start, end, add, clear, back), note,
    element("details", {}, element("summary", {}, "How"), steps.root,
      element("div", { class: "field" }, element("label", { for: "drag-rate" }, "Learning rate"), rate)));
  root.addEventListener("toggle", refresh);
  refresh();
  return root;
}
