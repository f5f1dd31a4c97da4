// The image itself: asks for the newest settings, draws what comes, and says how long it took.

import { ask, Dropped, Newest } from "./requests.js";
import { state } from "./state.js";

const SMOOTH_FROM = 256; // pixels; larger images are scaled smoothly

export const byId = (name) => document.getElementById(name);
const canvas = byId("image");

export function fail(error) {
  if (error instanceof Dropped) return;
  byId("error").textContent = error.message;
  byId("error").hidden = false;
}

export function calm() { byId("error").hidden = true; }

export const say = (text) => { byId("status").textContent = text; };

export async function draw(blob, onto = canvas) {
  const picture = await createImageBitmap(blob);
  if (onto.width !== picture.width || onto.height !== picture.height) {
    onto.width = picture.width;
    onto.height = picture.height;
  }
  const context = onto.getContext("2d");
  context.clearRect(0, 0, onto.width, onto.height);
  context.drawImage(picture, 0, 0);
  return picture;
}

const newest = new Newest(async (query, since) => {
  const answer = await ask(`image?${query}`);
  await draw(await answer.blob());
  calm();
  const took = performance.now() - since;
  const what = state.get("styles") ? "styles of their own" : `seed ${state.number("seed", 0)}`;
  say(`${what}${state.get("weights") ? " · tuned weights" : ""} · ${took.toFixed(0)} ms`);
  document.dispatchEvent(new CustomEvent("drawn", { detail: { query, took } }));
}, fail);

export const show = () => newest.ask(state.query());

export function prepareStage(about) {
  const [height, width] = about.shape;
  canvas.classList.toggle("smooth", Math.min(height, width) >= SMOOTH_FROM);
  canvas.width = width;
  canvas.height = height;
  byId("points").setAttribute("viewBox", `0 0 ${width} ${height}`);
  state.addEventListener("change", () => {
    show();
    byId("save").href = `saved.png?${state.query()}`;
  });
  byId("save").href = `saved.png?${state.query()}`;
}
