// The exported page: the generator as ONNX, run in this browser by onnxruntime-web. Everything comes from scripts, so
// the page also works from a disk, where browsers refuse to fetch files.
"use strict";

(() => {
  const { about, latents: table, onnx } = globalThis.GANZOO;
  const { mjs, wasm } = globalThis.GANZOO_RUNTIME;
  const SECONDS = 2; // from one seed to the other and back
  const byId = (name) => document.getElementById(name);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const [height, width, channels] = about.shape;
  const latents = new Float32Array(bytes(table).buffer);
  const size = latents.length / about.seeds;
  const plain = { seed: "0", psi: "1", class: String(about.classes[0] ?? 0), to: "1", at: "0" };
  const values = { ...plain, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  let session = null;
  let isBusy = false;
  let isWaiting = false;
  let timer = 0;

  const seedOf = (text) => Math.min(Math.max(Math.round(Number(text)) || 0, 0), about.seeds - 1);
  const latentOf = (seed) => latents.subarray(seed * size, (seed + 1) * size);
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

  // On the sphere, with lengths in between: Shoemake 1985.
  function between(a, b, t) {
    const [lengthA, lengthB] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
    const angle = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / (lengthA * lengthB))));
    if (Math.sin(angle) < 1e-6) return a.map((value, i) => value + t * (b[i] - value));
    const [forA, forB] = [(1 - t) * angle, t * angle].map((part) => Math.sin(part) / Math.sin(angle));
    const length = lengthA + t * (lengthB - lengthA);
    return a.map((value, i) => length * (forA * value / lengthA + forB * b[i] / lengthB));
  }

  function inputs() {
    const tensor = (data, dims) => new ort.Tensor("float32", data, dims);
    const [seed, to, t] = [seedOf(values.seed), seedOf(values.to), Math.min(Math.max(Number(values.at) || 0, 0), 1)];
    const latent = t ? between(latentOf(seed), latentOf(to), t) : latentOf(seed);
    const given = { latents: tensor(Float32Array.from(latent), [1, size]) };
    if (about.labels) {
      const label = new Float32Array(about.labels);
      label[Math.min(Number(values.class) || 0, about.labels - 1)] = 1;
      given.labels = tensor(label, [1, about.labels]);
    }
    if (about.styles) given.psi = tensor(Float32Array.of(Number(values.psi)), []);
    return given;
  }

  function draw(pixels) {
    const picture = new ImageData(width, height);
    const shade = (value) => Math.min(Math.max(Math.floor(value * 127.5 + 128), 0), 255);
    for (let i = 0; i < width * height; i += 1) {
      const at = i * channels;
      const isGrey = channels < 3;
      for (let c = 0; c < 3; c += 1) picture.data[4 * i + c] = shade(pixels[at + (isGrey ? 0 : c)]);
      picture.data[4 * i + 3] = channels === 2 || channels === 4 ? shade(pixels[at + channels - 1]) : 255;
    }
    byId("image").getContext("2d").putImageData(picture, 0, 0);
  }

  async function show() {
    isWaiting = true;
    if (isBusy || !session) return;
    isBusy = true;
    while (isWaiting) {
      isWaiting = false;
      const since = performance.now();
      try {
        const { images } = await session.run(inputs());
        draw(images.data);
        byId("status").textContent = `seed ${seedOf(values.seed)} · ${(performance.now() - since).toFixed(0)} ms`;
        document.body.dataset.ready = "yes";
      } catch (error) { fail(error); }
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    isBusy = false;
  }

  function fail(error) {
    byId("error").textContent = `the image cannot be made: ${error.message}`;
    byId("error").hidden = false;
  }

  function set(name, value) {
    values[name] = String(value);
    for (const input of ["psi", "at"]) byId(`${input}-shown`).textContent = Number(values[input]).toFixed(2);
    for (const input of ["seed", "psi", "class", "to", "at"]) {
      if (document.activeElement !== byId(input)) byId(input).value = values[input];
    }
    const changed = Object.entries(values).filter(([each, given]) => given !== plain[each]);
    history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
    show();
  }

  function play() {
    if (timer) { cancelAnimationFrame(timer); timer = 0; byId("play").textContent = "Play"; return; }
    byId("play").textContent = "Pause";
    const turn = (now) => {
      const share = (now / 1000 / SECONDS) % 2;
      set("at", (share < 1 ? share : 2 - share).toFixed(3));
      timer = requestAnimationFrame(turn);
    };
    timer = requestAnimationFrame(turn);
  }

  async function begin() {
    byId("model").textContent = `${about.model} · ${width} × ${height}`;
    byId("seeds").textContent = `Seeds 0 to ${about.seeds - 1} are in this page; each gives the image of ganzoo sample.`;
    Object.assign(byId("image"), { width, height });
    byId("image").classList.toggle("smooth", Math.min(width, height) >= 256);
    byId("truncation").hidden = !about.styles;
    byId("classes").hidden = !about.labels;
    for (let i = 0; i < about.labels; i += 1) byId("class").append(new Option(`${i}`, `${i}`));
    for (const name of ["seed", "to"]) byId(name).max = about.seeds - 1;
    for (const name of ["seed", "psi", "class", "to", "at"]) {
      byId(name).addEventListener("input", () => { if (byId(name).value !== "") set(name, byId(name).value); });
    }
    byId("dice").addEventListener("click", () => set("seed", Math.floor(Math.random() * about.seeds)));
    byId("play").addEventListener("click", play);
    byId("save").addEventListener("click", () => {
      byId("save").href = byId("image").toDataURL("image/png");
      byId("save").download = `${about.model}-seed${seedOf(values.seed)}.png`;
    });
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1;
    const part = (content, type) => URL.createObjectURL(new Blob([content], { type }));
    ort.env.wasm.wasmPaths = { mjs: part(mjs, "text/javascript"), wasm: part(bytes(wasm), "application/wasm") };
    session = await ort.InferenceSession.create(bytes(onnx), { executionProviders: ["wasm"] });
    set("seed", values.seed);
  }

  begin().catch(fail);
})();
