// The quick look: one page, its parts, and what its buttons and keys do.

import { text } from "./attributes.js";
import { Archive, Refused } from "./archive.js";
import { Cine } from "./cine.js";
import { documentOf } from "./documents.js";
import { element } from "./elements.js";
import { Gestures } from "./gestures.js";
import { listen, writeHelp } from "./keys.js";
import { Overlay } from "./overlay.js";
import { Strip } from "./strip.js";
import { Tags } from "./tags.js";
import { View } from "./view.js";
import { Viewer } from "./viewer.js";
import { presetsFor } from "./windows.js";

const { root, study, page, keywords } = document.body.dataset;
const at = (name) => document.querySelector(`[data-at="${name}"]`);
const places = Object.fromEntries(
  [...document.querySelectorAll("[data-overlay]")].map((place) => [place.dataset.overlay, place]),
);

const archive = new Archive(root, study);
const view = new View(at("canvas"));
const viewer = new Viewer(archive, view);
const overlay = new Overlay(viewer, places);
const gestures = new Gestures(at("canvas"), viewer);
const cine = new Cine(viewer);
const tags = new Tags(at("tags"), keywords);
const strip = new Strip(at("strip"), archive, open);
let series = []; // UIDs, in their order
let presets = [];

// Series

const NO_IMAGES = new Set(["PR", "KO", "SR", "DOC", "REG", "FID", "RTPLAN", "RTSTRUCT", "RTRECORD", "ECG", "AU", "PLAN"]);

async function start() {
  const found = await archive.series();
  series = found.map((entry) => text(entry, "0020000E"));
  strip.write(found, addressOf);
  const { series: asked } = document.body.dataset;
  const withImages = found.find((entry) => !NO_IMAGES.has(text(entry, "00080060"))) ?? found[0];
  const [instance, frame] = decodeURIComponent(location.hash.slice(1)).split("/");
  await open(series.includes(asked) ? asked : text(withImages, "0020000E"), instance, Number(frame));
}

const addressOf = (uid) => `${page}${uid}/`;

async function open(uid, instance, frame) {
  strip.mark(uid);
  at("message").replaceChildren();
  try {
    await viewer.open(uid, instance, frame);
  } catch (error) {
    say(error, () => open(uid, instance, frame));
  }
  if (location.pathname !== addressOf(uid)) history.replaceState(null, "", addressOf(uid));
}

function otherSeries(step) {
  const next = series[series.indexOf(viewer.series) + step];
  if (next) open(next);
}

// What is said instead of a picture

function say(error, again) {
  const signIn = error instanceof Refused && error.status === 401;
  at("message").replaceChildren(
    element(
      "div",
      { className: "problem", role: "alert" },
      element("strong", {}, signIn ? "You are signed out" : "This cannot be shown"),
      element("bdi", { textContent: error.message || String(error) }),
      signIn
        ? element("a", { className: "button", href: location.href }, "Sign in again")
        : element("button", { className: "button", type: "button", onclick: again }, "Try again"),
    ),
  );
}

let waiting = 0;
viewer.addEventListener("shown", ({ detail: { image, source, failure, waits } }) => {
  clearTimeout(waiting);
  view.empty = !image.frame || Boolean(failure);
  view.redraw();
  at("stage").classList.toggle("waits", false);
  if (failure) say(failure, () => viewer.retry());
  else if (image.frame) at("message").replaceChildren();
  // What comes at once needs no sign that it is awaited.
  if (waits) waiting = setTimeout(() => at("stage").classList.toggle("waits", true), 150);
  if (source || failure || !image.frame) strip.loadPictures();
  if (source) at("stage").dataset.shown = `${image.instance}/${image.frame}`;
});

async function showDocument(image) {
  try {
    const dataset = await archive.dataset(image);
    if (image !== viewer.image) return;
    const shown = documentOf(image, dataset, archive.address(image));
    at("message").replaceChildren(shown);
    if (shown.className === "nothing") showTags(true);
  } catch (error) {
    say(error, () => viewer.go(viewer.index));
  }
}

// The bar below

const slider = at("slider");
slider.addEventListener("input", () => viewer.go(Number(slider.value) - 1));
slider.addEventListener("pointerup", () => slider.blur());
const rate = at("rate");
rate.addEventListener("input", () => cine.choose(Number(rate.value)));
cine.changed = () => {
  rate.value = cine.rate;
  at("rate-text").textContent = `${cine.rate} / s`;
  const play = document.querySelector('[data-command="cine"]');
  play.setAttribute("aria-pressed", String(cine.playing));
};

viewer.addEventListener("series", () => {
  slider.max = viewer.images.length;
  document.body.classList.toggle("single", viewer.images.length < 2);
  cine.chosen = false;
  presets = [];
});

let settling = 0;
viewer.addEventListener("image", () => {
  const { image, index } = viewer;
  slider.value = index + 1;
  slider.setAttribute("aria-valuetext", `Image ${index + 1} of ${viewer.images.length}`);
  at("count").textContent = `${index + 1} / ${viewer.images.length}`;
  document.body.classList.toggle("no-pixels", !image.frame);
  if (!image.frame) showDocument(image);
  clearTimeout(settling);
  settling = setTimeout(settled, 200);
});

// Once one image is looked at: what would cost too much while scrolling.
async function settled() {
  const { image } = viewer;
  history.replaceState(null, "", `#${image.instance}${image.frames > 1 ? `/${image.frame}` : ""}`);
  if (!at("tags").hidden) showTags(true);
}

viewer.addEventListener("shown", () => {
  const { description } = viewer;
  if (!description || presets.length) return;
  presets = presetsFor(description);
  at("presets").replaceChildren(
    ...presets.map(({ name }, index) => element("option", { value: String(index) }, name.slice(0, 64))),
    element("option", { value: "own", hidden: true }, "Own"),
  );
  cine.recommend(description.rate);
  markPreset();
});

// Windows

at("presets").addEventListener("change", (event) => {
  choosePreset(Number(event.target.value));
  event.target.blur();
});

function choosePreset(index) {
  if (presets[index]) viewer.setWindow(presets[index].window);
}

function markPreset() {
  const index = presets.findIndex(({ window }) => window === viewer.window);
  at("presets").value = index < 0 ? "own" : String(index);
}
viewer.addEventListener("window", markPreset);

// Tools and commands

function chooseTool(name) {
  gestures.tool = name;
  at("stage").dataset.tool = name;
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  }
}

async function showTags(shown) {
  at("tags").hidden = !shown;
  document.querySelector('[data-command="tags"]').setAttribute("aria-pressed", String(shown));
  if (!shown) return;
  const { image } = viewer;
  const dataset = await archive.dataset(image).catch(() => ({}));
  if (image === viewer.image) await tags.show(dataset);
}

const commands = {
  next: () => viewer.step(1),
  previous: () => viewer.step(-1),
  tenOn: () => viewer.step(10),
  tenBack: () => viewer.step(-10),
  first: () => viewer.go(0),
  last: () => viewer.go(viewer.images.length - 1),
  nextSeries: () => otherSeries(1),
  previousSeries: () => otherSeries(-1),
  cine: () => cine.toggle(),
  window: () => chooseTool("window"),
  pan: () => chooseTool("pan"),
  zoom: () => chooseTool("zoom"),
  scroll: () => chooseTool("scroll"),
  preset: (key) => choosePreset(Number(key) - 1),
  invert: () => viewer.invert(),
  larger: () => view.zoomBy(1.25),
  smaller: () => view.zoomBy(0.8),
  fit: () => view.fit(),
  actualSize: () => view.actualSize(),
  turn: () => view.turn(),
  mirror: () => view.mirror(),
  tags: () => showTags(at("tags").hidden),
  searchTags() {
    showTags(true);
    tags.search.focus();
    tags.search.select();
  },
  help: () => at("help").showModal(),
  reset() {
    view.reset();
    if (viewer.inverted) viewer.invert();
    viewer.setWindow(null);
  },
};

for (const button of document.querySelectorAll("[data-command]")) {
  button.addEventListener("click", (event) => {
    commands[button.dataset.command]();
    if (event.detail) button.blur(); // clicked with a pointer: keys go on meaning what they mean everywhere
  });
}
view.zoomed = () => overlay.writeView();
at("canvas").addEventListener("pointermove", (event) => overlay.point({ x: event.offsetX, y: event.offsetY }));
at("canvas").addEventListener("pointerleave", () => overlay.point(null));
addEventListener("hashchange", () => {
  const [instance, frame] = decodeURIComponent(location.hash.slice(1)).split("/");
  const index = viewer.images.findIndex((one) => one.instance === instance && (!frame || one.frame === Number(frame)));
  if (index >= 0) viewer.go(index);
});

listen(commands);
writeHelp(at("keys"));
chooseTool(matchMedia("(pointer: coarse)").matches ? "scroll" : "window");
start().catch((error) => say(error, () => location.reload()));
