// One's own image: uploaded, found again by the generator, and then edited like any other.

import { button, element, hint, numberField, panel } from "./controls.js";
import { ask, follow, post } from "./requests.js";
import { state } from "./state.js";

export function ownPanel() {
  const file = element("input", { type: "file", accept: "image/*", id: "file", "aria-label": "Picture" });
  const steps = numberField({ label: "Steps", min: 1, max: 5000, value: 300, changed: () => {} });
  const progress = element("progress", { max: "1", value: 0, hidden: true, "aria-label": "Search" });
  const note = element("p", { class: "hint", role: "status" });
  const error = element("p", { class: "error", role: "alert", hidden: true });
  const pair = element("div", { class: "pair" });
  let job = null;

  const start = button("Find it", async () => {
    error.hidden = true;
    const picture = file.files[0];
    if (!picture) { error.textContent = "choose a picture first"; error.hidden = false; return; }
    start.disabled = true;
    progress.hidden = false;
    end.hidden = false;
    try {
      const settings = state.values.has("class") ? `class=${state.get("class")}` : "";
      const address = `jobs/project?steps=${steps.input.value || 300}&settings=${encodeURIComponent(settings)}`;
      job = await post(address, picture);
      const done = await follow(job, (known) => { progress.value = known.share; note.textContent = known.note; });
      if (done.styles) await take(done, picture);
    } catch (failure) {
      note.textContent = "";
      error.textContent = failure.message;
      error.hidden = false;
    }
    start.disabled = false;
    progress.hidden = true;
    end.hidden = true;
  }, { class: "main" });
  const end = button("Stop", () => job && post(`jobs/${job.job}/stop`).catch(() => {}), { hidden: true });

  async function take(done, picture) {
    const found = URL.createObjectURL(await (await ask(`jobs/${done.job}/picture`)).blob());
    pair.replaceChildren(...[[URL.createObjectURL(picture), "yours"], [found, "found"]].map(([src, text]) =>
      element("figure", {}, element("img", { src, alt: text }), element("figcaption", {}, text))));
    state.keep("styles", done.text);
    const kept = state.values.get("class");
    state.replace(`styles=${done.styles}${kept ? `&class=${kept}` : ""}`);
  }

  return panel("Your own image", { open: false },
    hint("A picture is cropped to the model's size; then the styles are sought whose image is nearest. It is not stored."),
    element("div", { class: "field" }, file), steps.root,
    element("div", { class: "row" }, start, end), progress, note, error, pair);
}

// The styles in the fragment of a link, kept by the server again, which may be another one than made the link.
export async function restoreStyles() {
  const text = state.fragment.get("styles");
  if (text && state.values.has("styles")) {
    const { styles } = await post("styles", text);
    if (styles !== state.values.get("styles")) state.set({ styles });
  }
}
