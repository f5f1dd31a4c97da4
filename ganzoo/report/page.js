"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [LEFT, RIGHT, TOP, BOTTOM] = [50, 338, 10, 184];
const SVG = "http://www.w3.org/2000/svg";
const hidden = new Set();
const NEAR = 0.02; // part of the axis within which a group has a value

function shown(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return +(value / 1e6).toPrecision(3) + "M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(3) + "k";
  if (size !== 0 && size < 1e-4) return value.toExponential(2);
  return String(+value.toPrecision(size >= 1000 ? 4 : 3));
}

function nearest(places, images) {
  return places.reduce((best, place, i) => (Math.abs(place - images) < Math.abs(places[best] - images) ? i : best), 0);
}

// Values under the pointer, or under the arrow keys.
for (const figure of document.querySelectorAll("[data-chart]")) {
  const svg = figure.querySelector("svg");
  const { scale: [x0, x1, y0, y1, isLog], curves } = data.charts[figure.dataset.chart];
  const places = [...new Set(Object.values(curves).flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  figure.append(tip);
  const marks = document.createElementNS(SVG, "g");
  svg.append(marks);
  let at = -1;

  const toX = (images) => LEFT + ((RIGHT - LEFT) * (images - x0)) / (x1 - x0);
  const toY = (value) => BOTTOM - ((BOTTOM - TOP) * ((isLog ? Math.log10(value) : value) - y0)) / (y1 - y0);

  function mark(kind, attributes) {
    const element = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    marks.append(element);
  }

  function leave() {
    at = -1;
    tip.hidden = true;
    marks.replaceChildren();
  }

  function show(place) {
    at = Math.max(0, Math.min(places.length - 1, place));
    const images = places[at];
    const x = toX(images);
    marks.replaceChildren();
    mark("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: BOTTOM });
    const title = document.createElement("b");
    title.textContent = Math.round(images).toLocaleString("en") + " images";
    const lines = [title];
    for (const [group, curve] of Object.entries(curves)) {
      const i = nearest(curve.x, images);
      if (hidden.has(group) || Math.abs(curve.x[i] - images) > NEAR * (x1 - x0)) continue;
      const style = figure.querySelector(`.letter[data-group="${group}"]`);
      const own = [...style.classList].filter((name) => /^g\d$/.test(name));
      mark("circle", { class: "dot " + own, cx: toX(curve.x[i]), cy: toY(curve.m[i]), r: 3.5 });
      const line = document.createElement("div");
      const tag = document.createElement("span");
      tag.className = "tag " + own;
      tag.textContent = style.textContent;
      const range = curve.n[i] > 1 ? ` (${shown(curve.l[i])} to ${shown(curve.h[i])}, ${shown(curve.n[i])} seeds)` : "";
      line.append(tag, ` ${shown(curve.m[i])}${range}`);
      lines.push(line);
    }
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const factor = svg.clientWidth / 360;
    const room = figure.clientWidth - tip.offsetWidth;
    const wanted = x * factor + (x > 190 ? -tip.offsetWidth - 10 : 10);
    tip.style.left = Math.max(0, Math.min(room, wanted)) + "px";
    tip.style.top = figure.querySelector("figcaption").offsetHeight + 12 + "px";
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const images = x0 + ((((event.clientX - box.left) * 360) / box.width - LEFT) * (x1 - x0)) / (RIGHT - LEFT);
    show(nearest(places, images));
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const last = places.length - 1;
    const far = Math.max(1, Math.round(last / 10));
    const start = at < 0 ? last : at;
    const to = { ArrowLeft: start - 1, ArrowRight: start + 1, Home: 0, End: last, PageUp: start + far, PageDown: start - far };
    if (event.key === "Escape") leave();
    else if (event.key in to) {
      event.preventDefault();
      show(at < 0 && event.key.startsWith("Arrow") ? last : to[event.key]);
    }
  });
}

// Groups that are hidden and shown.
for (const button of document.querySelectorAll("[data-toggle]")) {
  const group = button.dataset.toggle;
  button.addEventListener("click", () => {
    const isOn = !hidden.delete(group);
    if (isOn) hidden.add(group);
    button.setAttribute("aria-pressed", String(!isOn));
    for (const element of document.querySelectorAll(`svg [data-group="${group}"]`)) {
      element.style.display = isOn ? "none" : "";
    }
  });
}

// Sample grids over time.
const slider = document.getElementById("time");
if (slider) {
  const steps = [...new Set(Object.values(data.films).flat().map(([images]) => images))].sort((a, b) => a - b);
  const play = document.getElementById("play");
  const films = Object.entries(data.films).filter(([, frames]) => frames.length);
  let timer = 0;
  for (const [key, frames] of films) frames.at(-1)[1] = document.querySelector(`[data-film="${key}"]`).src;
  slider.parentElement.hidden = false;

  function seek() {
    const now = steps[slider.value];
    const said = now.toLocaleString("en");
    document.querySelector("output[for=time]").textContent = said;
    slider.setAttribute("aria-valuetext", said + " images");
    for (const [key, frames] of films) {
      const [images, source] = frames.filter(([images]) => images <= now).pop() || frames[0];
      document.querySelector(`[data-film="${key}"]`).src = source;
      document.querySelector(`[data-seen="${key}"]`).textContent = images.toLocaleString("en") + " images seen";
    }
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  slider.addEventListener("input", () => {
    stop();
    seek();
  });
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (+slider.value === steps.length - 1) slider.value = 0;
    seek();
    play.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = +slider.value + 1;
      seek();
      if (+slider.value === steps.length - 1) stop();
    }, 500);
  });
}
