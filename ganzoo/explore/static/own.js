// One's own image: uploaded, found again by the generator, which can then be tuned for it, and edited like any other.

import { button, checkbox, element, hint, numberField, panel } from "./controls.js";
import { ask, follow, post } from "./requests.js";
import { state } from "./state.js";

const MOST_STEPS = 5000;

export function ownPanel() {
  const field = (label, value) => numberField({ label, min: 1, max: MOST_STEPS, value, changed: () => {} });
  const file = element("input", { type: "file", accept: "image/*", id: "file", "aria-label": "Picture" });
  const steps = field("Steps", 300);
  const tuningSteps = field("Steps of tuning", 350);
  const progress = element("progress", { max: "1", value: 0, hidden: true, "aria-label": "Progress" });
  const note = element("p", { class: "hint", role: "status" });
  const error = element("p", { class: "error", role: "alert", hidden: true });
  const pair = element("div", { class: "pair" });
  let job = null;
  let found = null; // {picture, styles, text} of the last search
  let tuned = ""; // name of the weights that were tuned last, or that the link names

  // Long works

  async function work(begun, address, picture, take) {
    error.hidden = true;
    setBusy(true);
    try {
      job = await post(address, picture);
      const done = await follow(job, (known) => { progress.value = known.share; note.textContent = known.note; });
      await take(done);
    } catch (failure) {
      note.textContent = "";
      error.textContent = failure.message;
      error.hidden = false;
    }
    const hadFocus = document.activeElement === end;
    setBusy(false);
    if (hadFocus) begun.focus();
  }

  function setBusy(isBusy) {
    const hadFocus = [start, tune].includes(document.activeElement);
    start.disabled = isBusy;
    tune.disabled = isBusy;
    progress.hidden = !isBusy;
    progress.value = 0;
    end.hidden = !isBusy;
    if (isBusy && hadFocus) end.focus();
  }

  const start = button("Find it", () => {
    const picture = file.files[0];
    if (!picture) { error.textContent = "choose a picture first"; error.hidden = false; return; }
    const settings = state.values.has("class") ? `class=${state.get("class")}` : "";
    const address = `jobs/project?steps=${steps.input.value || 300}&settings=${encodeURIComponent(settings)}`;
    work(start, address, picture, async (done) => {
      if (!done.styles) return;
      found = { picture, styles: done.styles, text: done.text };
      pair.replaceChildren(figure(URL.createObjectURL(picture), "yours"), figure(await pictureOf(done), "found"));
      const kept = state.values.get("class");
      state.keep("styles", done.text);
      state.replace(`styles=${done.styles}${kept ? `&class=${kept}` : ""}`);
      tuning.hidden = false;
    });
  }, { class: "main" });

  const tune = button("Tune the generator", () => {
    const { picture, styles, text } = found;
    work(tune, `jobs/tune?steps=${tuningSteps.input.value || 350}&styles=${styles}`, picture, async (done) => {
      if (!done.weights) return;
      note.textContent = done.gain;
      tuned = done.weights;
      pair.replaceChildren(...[...pair.children].slice(0, 2), figure(await pictureOf(done), "tuned"));
      state.keep("styles", text);
      state.set({ styles, weights: tuned, path: null, at: null });
    });
  }, { class: "main" });

  const end = button("Stop", () => job && post(`jobs/${job.job}/stop`).catch(() => {}), { hidden: true });

  const pictureOf = async (done) => URL.createObjectURL(await (await ask(`jobs/${done.job}/picture`)).blob());
  const figure = (src, text) => element("figure", {}, element("img", { src, alt: text }), element("figcaption", {}, text));

  // The way back to the model's own weights

  const own = checkbox({ label: "Tuned weights", checked: false,
    changed: (on) => state.set({ weights: on ? tuned : null }) });
  function showWeights() {
    tuned = state.get("weights") || tuned;
    own.root.hidden = !tuned;
    own.box.checked = state.values.has("weights");
  }
  state.addEventListener("change", showWeights);
  showWeights();

  const tuning = element("div", { hidden: true },
    hint("Tuning moves the generator's weights until these styles give your picture; every setting then works on them."),
    tuningSteps.root, element("div", { class: "row" }, tune));

  return panel("Your own image", { open: state.values.has("weights") },
    hint("A picture is cropped to the model's size; then the styles are sought whose image is nearest. It is not stored."),
    element("div", { class: "field" }, file), steps.root,
    element("div", { class: "row" }, start), tuning, element("div", { class: "row" }, end), progress, note, error, pair, own.root);
}

// The styles in the fragment of a link, kept by the server again, which may be another one than made the link.
export async function restoreStyles() {
  const text = state.fragment.get("styles");
  if (text && state.values.has("styles")) {
    const { styles } = await post("styles", text);
    if (styles !== state.values.get("styles")) state.set({ styles });
  }
}
