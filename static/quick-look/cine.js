// Plays the frames of an instance, or the stack, round and round.

const DEFAULT_RATE = 15;

export class Cine {
  playing = false;
  rate = DEFAULT_RATE;
  #due = 0;

  constructor(viewer) {
    this.viewer = viewer;
    this.changed = () => {};
    viewer.addEventListener("series", () => this.stop());
  }

  // As the data recommend it, until somebody chooses.
  recommend(rate) {
    if (!this.chosen) this.rate = Math.min(60, Math.max(1, Math.round(rate ?? DEFAULT_RATE)));
    this.changed();
  }

  choose(rate) {
    this.chosen = true;
    this.rate = rate;
    this.changed();
  }

  toggle() {
    if (this.playing) this.stop();
    else this.start();
  }

  start() {
    const [first, last] = this.viewer.loop();
    if (first === last) return;
    this.playing = true;
    this.#due = performance.now();
    requestAnimationFrame((now) => this.#tick(now));
    this.changed();
  }

  stop() {
    this.playing = false;
    this.changed();
  }

  // The next image when it is due and there: nothing is skipped.
  #tick(now) {
    if (!this.playing) return;
    const [first, last] = this.viewer.loop();
    const next = this.viewer.index >= last ? first : this.viewer.index + 1;
    if (now >= this.#due && this.viewer.isLoaded(next)) {
      this.viewer.go(next);
      this.#due = Math.max(this.#due + 1000 / this.rate, now - 1000 / this.rate);
    }
    requestAnimationFrame((later) => this.#tick(later));
  }
}
