// The page: which panels the model has, and the buttons below the image.

import { randomSeed } from "./controls.js";
import { dragPanel } from "./drag.js";
import { marksPanel } from "./marks.js";
import { ownPanel, restoreStyles } from "./own.js";
import {
  classPanel, directionsPanel, mixingPanel, movePanel, noisePanel, seedPanel, setSeed, truncationPanel,
} from "./panels.js";
import { askJson } from "./requests.js";
import { runPanel } from "./run.js";
import { byId, fail, prepareStage, say, show } from "./stage.js";
import { state } from "./state.js";
import { walkPanel } from "./walk.js";

async function begin() {
  say("loading …");
  const about = await askJson("about");
  const [height, width, channels] = about.shape;
  byId("model").textContent = [
    about.model, `${width} × ${height}${channels === 3 ? "" : `, ${channels} channel${channels === 1 ? "" : "s"}`}`,
    about.labels ? `${about.labels} classes` : null,
    about.images_seen ? `trained on ${about.images_seen.toLocaleString("en")} images` : null,
  ].filter(Boolean).join(" · ");
  document.title = `${about.model} – ganzoo explore`;
  prepareStage(about);
  await restoreStyles();
  const has = about.styles > 0;
  byId("panels").append(...[
    seedPanel(),
    has ? truncationPanel(about) : null,
    about.labels ? classPanel(about) : null,
    has ? directionsPanel(about) : null,
    has ? mixingPanel(about) : null,
    about.noise.length ? noisePanel(about) : null,
    about.moves ? movePanel() : null,
    about.drags ? dragPanel(about) : null,
    walkPanel(about),
    marksPanel(about),
    has && channels <= 4 ? ownPanel(about) : null,
    about.run ? runPanel() : null,
  ].filter(Boolean));
  byId("dice").addEventListener("click", () => setSeed(randomSeed()));
  byId("reset").addEventListener("click", () => { state.keep("styles", ""); state.replace(""); });
  byId("copy").addEventListener("click", async () => {
    state.flush();
    try {
      await navigator.clipboard.writeText(location.href);
      say("the link is in the clipboard");
    } catch {
      say("the link is in the address bar");
    }
  });
  await show();
  document.body.dataset.ready = "yes";
}

begin().catch(fail);
