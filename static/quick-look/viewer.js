// What is being looked at: a series as a stack, an image of it, through a window.

import { describe, imagesOf } from "./image.js";
import { Loader } from "./loader.js";
import { effective, paint, pictureOf, valuesOf } from "./pixels.js";

const PARALLEL = 4; // of the six connections a browser has; the others are for what is asked besides
const MOST_BYTES = (navigator.deviceMemory >= 4 ? 512 : 256) << 20;
const AHEAD = 400; // images
const PASSING = new Set([0, 401, 403, 429, 503]); // what says nothing about the image

// Tells of: `series`, `image` (another one is current), `shown` (it is drawn, or why not), `window`.
export class Viewer extends EventTarget {
  series = null;
  images = [];
  index = 0;
  shown = null; // what is drawn: {image, source}
  window = null; // null: as each image has it; "full": all its values; else a window
  inverted = false;
  busy = false; // while a window is dragged, no picture is asked for
  #forward = true;
  #descriptions = new Map(); // key of an image -> description

  constructor(archive, view) {
    super();
    this.archive = archive;
    this.view = view;
    this.loader = new Loader({ parallel: PARALLEL, mostBytes: MOST_BYTES, changed: (key) => this.#came(key) });
  }

  get image() {
    return this.images[this.index];
  }

  get description() {
    return this.image && this.#descriptions.get(keyOf(this.image));
  }

  async open(series, instance, frame) {
    const found = imagesOf(series, await this.archive.instances(series));
    if (!found.length) throw new Error("This series holds no instance.");
    this.loader.clear();
    this.archive.forgetDatasets();
    this.#descriptions.clear();
    Object.assign(this, { series, images: found, window: null, inverted: false, shown: null });
    const index = found.findIndex((image) => image.instance === instance && (!frame || image.frame === frame));
    this.view.reset();
    this.#tell("series");
    this.go(Math.max(0, index));
    this.archive.readSeries(series).catch(() => {}); // then each image asks for its own
  }

  go(index) {
    const wanted = Math.min(this.images.length - 1, Math.max(0, index));
    this.#forward = wanted >= this.index;
    this.index = wanted;
    this.#want();
    this.#tell("image");
    this.#show();
  }

  step(count) {
    this.go(this.index + count);
  }

  // Images that play as one: the frames of an instance, else the stack.
  loop() {
    const { instance, frames } = this.image;
    if (frames < 2) return [0, this.images.length - 1];
    const start = this.images.findIndex((image) => image.instance === instance);
    return [start, start + frames - 1];
  }

  isLoaded(index) {
    const key = this.#key(this.images[index]);
    return Boolean(this.loader.get(key) ?? this.loader.failure(key));
  }

  setWindow(window) {
    this.window = window;
    this.#tell("window");
    if (!this.busy) this.#want();
    this.#show();
  }

  // A window that is being dragged: shown at once, asked for when it rests.
  dragWindow(window, resting) {
    this.busy = !resting;
    this.setWindow(window);
  }

  currentWindow() {
    return this.shown?.source && effective(this.shown.source, this.window);
  }

  invert() {
    this.inverted = !this.inverted;
    this.#show();
  }

  retry() {
    this.loader.retry(this.#key(this.image));
    this.#show();
  }

  // A picture that the server has to window is another one for each window.
  #key(image) {
    const described = this.#descriptions.get(keyOf(image));
    const windowed = described?.grey && !described.values && this.window;
    return windowed ? `${keyOf(image)} ${JSON.stringify(this.#asked(described))}` : keyOf(image);
  }

  #asked(described) {
    if (!this.window || !described.grey) return null;
    return effective({ image: described }, this.window);
  }

  // The current image, then those ahead, and one behind for each two ahead.
  #want() {
    const order = [this.index];
    const sign = this.#forward ? 1 : -1;
    const [ahead, behind] = [1, -1].map((way) => {
      const found = [];
      for (let step = 1; step <= AHEAD; step += 1) found.push(this.index + sign * way * step);
      return found.filter((index) => index >= 0 && index < this.images.length);
    });
    while (ahead.length || behind.length) order.push(...ahead.splice(0, 2), ...behind.splice(0, 1));
    this.loader.want(
      order
        .map((index) => this.images[index])
        .filter((image) => image.frame)
        .map((image) => ({ key: this.#key(image), load: (signal) => this.#load(image, signal) })),
    );
  }

  async #load(image, signal) {
    let described = await this.describe(image);
    signal.throwIfAborted();
    if (described.values) {
      try {
        return valuesOf(await this.archive.frame(image, signal), described);
      } catch (error) {
        if (signal.aborted || PASSING.has(error.status)) throw error;
        described = { ...described, values: false }; // perhaps there is a picture of it
        this.#descriptions.set(keyOf(image), described);
      }
    }
    const window = this.#asked(described);
    return pictureOf(await this.archive.rendered(image, window, signal), described, window);
  }

  async describe(image) {
    const key = keyOf(image);
    if (!this.#descriptions.has(key)) {
      const dataset = await this.archive.dataset(image);
      this.#descriptions.set(key, describe(dataset, image.frame));
    }
    return this.#descriptions.get(key);
  }

  #came(key) {
    if (!this.image) return;
    // What it is has become known meanwhile: its key may be another one now.
    if (key === keyOf(this.image) && this.#key(this.image) !== key) this.#want();
    if (key === this.#key(this.image) || key === keyOf(this.image)) this.#show();
  }

  #show() {
    const image = this.image;
    const key = this.#key(image);
    const failure = this.loader.failure(key);
    const source = this.loader.get(key) ?? (this.shown?.image === image ? this.shown.source : this.loader.get(keyOf(image)));
    if (source) {
      this.shown = { image, source };
      paint(this.view.picture, source, this.window, this.inverted);
      this.view.aspect = source.image.aspect;
      this.view.redraw();
    }
    const waits = image.frame > 0 && !source && !failure;
    this.dispatchEvent(new CustomEvent("shown", { detail: { image, source, failure, waits } }));
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }
}

export const keyOf = (image) => `${image.instance}/${image.frame}`;
