// Bookmarks, the way from one to the next, and a film of it.

import { button, choice, element, hint, numberField, panel, slider } from "./controls.js";
import { ask, follow, post } from "./requests.js";
import { fail } from "./stage.js";
import { encoded, state } from "./state.js";

const FRAMES = 30;

const marks = () => (state.fragment.get("marks") ?? "").split("|").filter(Boolean).map(decodeURIComponent);
const keep = (list) => state.keep("marks", list.map(encodeURIComponent).join("|"));

export function marksPanel(about) {
  const list = element("ul", { id: "marks", "aria-label": "Bookmarks" });
  const film = element("div", { class: "film" });
  let timer = 0;
  let seconds = 2;

  const own = () => { // the settings without a path: those that a bookmark keeps
    const plain = new Map(state.values);
    for (const name of ["path", "at", "way"]) plain.delete(name);
    return encoded(plain) || "seed=0";
  };
  const path = () => marks().map(encodeURIComponent).join("|");
  const place = slider({ label: "Place on the way", min: 0, max: 1, step: 0.005, value: state.number("at", 0),
    changed: (at) => state.set({ path: path(), at }, place) });
  const way = choice({ label: "Way", value: state.get("way", about.styles ? "linear" : "slerp"),
    options: [["linear", "straight"], ["cubic", "smooth curve"], ["slerp", "on the sphere"]],
    changed: (value) => state.set({ way: value, path: path() }, way) });
  const play = button("Play", () => (timer ? rest() : run()));
  const rest = () => { cancelAnimationFrame(timer); timer = 0; play.textContent = "Play"; };
  const run = () => {
    let last = performance.now();
    play.textContent = "Pause";
    const turn = (now) => {
      const count = marks().length;
      if (count < 2) return rest();
      const at = (state.number("at", 0) + (now - last) / (1000 * seconds)) % count;
      last = now;
      state.set({ path: path(), at: Number(at.toFixed(4)) });
      timer = requestAnimationFrame(turn);
      return undefined;
    };
    timer = requestAnimationFrame(turn);
  };
  const pace = slider({ label: "Seconds from bookmark to bookmark", min: 0.5, max: 10, step: 0.5, value: seconds,
    changed: (value) => { seconds = Math.max(value, 0.1); } });
  const frames = numberField({ label: "Frames between two", min: 1, max: 240, value: FRAMES, changed: () => {} });
  const progress = element("progress", { max: "1", hidden: true, "aria-label": "Film" });
  let job = null;
  const make = button("Make a film", async () => {
    make.disabled = true;
    progress.hidden = false;
    end.hidden = false;
    film.replaceChildren();
    const count = Number(frames.input.value);
    const settings = encoded(new Map([["path", path()], ["way", way.list.value]]));
    try {
      job = await post("jobs/film", JSON.stringify({ settings, frames: count, fps: Math.max(1, Math.min(60, Math.round(count / seconds))) }));
      const done = await follow(job, ({ share }) => { progress.value = share; }, 250);
      if (done.note === "done") {
        const url = URL.createObjectURL(await (await ask(`jobs/${job.job}/picture`)).blob());
        film.append(element("img", { src: url, class: "film", alt: "The film" }),
          element("div", { class: "row" }, element("a", { class: "button", href: url, download: "film.webp" }, "Save the film")));
      }
    } catch (error) { fail(error); }
    make.disabled = false;
    progress.hidden = true;
    end.hidden = true;
  });
  const end = button("Stop", () => job && post(`jobs/${job.job}/stop`).catch(fail), { hidden: true });

  const tools = element("div", {}, place.root, way.root, pace.root,
    element("div", { class: "row" }, play, make, end), frames.root, progress, film);
  const show = () => {
    const found = marks();
    list.replaceChildren(...found.map((query, i) => element("li", {},
      button("", () => { rest(); state.replace(query); }, { class: "open", "aria-label": `Bookmark ${i + 1}` }),
      button("×", () => { keep(found.filter((_, j) => j !== i)); leave(); show(); }, { class: "away", "aria-label": `Remove bookmark ${i + 1}` }))));
    found.forEach((query, i) => list.children[i].firstChild.append(element("img", { src: `image?${query}`, alt: "" })));
    tools.hidden = found.length < 2;
    place.range.max = found.length;
  };
  const leave = () => { rest(); state.set({ path: null, at: null, way: null }); };
  const add = () => {
    if (state.get("path")) fail(new Error("leave the way first: choose a bookmark or a seed, then bookmark it"));
    else { keep([...marks(), own()]); show(); }
  };
  state.addEventListener("change", ({ detail }) => {
    if (detail.from !== place && !timer) place.set(state.number("at", 0));
  });
  document.getElementById("mark").addEventListener("click", add);
  show();
  return panel("Bookmarks and film", { open: marks().length > 0 },
    hint("Bookmark two images or more to go from one to the next."), list, tools);
}
