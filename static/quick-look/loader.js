// Loads what is wanted, the most wanted first, a few at a time, and keeps as much of it as fits.

export class Loader {
  #wanted = []; // tasks, most wanted first
  #running = new Map(); // key -> AbortController
  #kept = new Map(); // key -> what was loaded, with its size in `bytes`
  #failed = new Map(); // key -> error
  #bytes = 0;
  #changed;

  // `changed(key)` is told of each that has come or failed.
  constructor({ parallel, mostBytes, changed }) {
    this.parallel = parallel;
    this.mostBytes = mostBytes;
    this.#changed = changed;
  }

  get(key) {
    return this.#kept.get(key);
  }

  failure(key) {
    return this.#failed.get(key);
  }

  // Tasks are `{key, load(signal)}`. What runs and is no longer wanted soon is taken back.
  want(tasks) {
    this.#wanted = tasks;
    const soon = new Set(tasks.slice(0, 2 * this.parallel).map((task) => task.key));
    for (const [key, controller] of this.#running) {
      if (soon.has(key)) continue;
      this.#running.delete(key);
      controller.abort();
    }
    this.#fill();
  }

  retry(key) {
    this.#failed.delete(key);
    this.#fill();
  }

  clear() {
    this.want([]);
    this.#kept.clear();
    this.#failed.clear();
    this.#bytes = 0;
  }

  #fill() {
    let ahead = 0;
    for (const task of this.#wanted) {
      if (this.#running.size >= this.parallel || ahead >= this.mostBytes) return;
      const kept = this.#kept.get(task.key);
      if (kept) ahead += kept.bytes;
      else if (!this.#running.has(task.key) && !this.#failed.has(task.key)) this.#start(task);
    }
  }

  async #start({ key, load }) {
    const controller = new AbortController();
    this.#running.set(key, controller);
    try {
      this.#keep(key, await load(controller.signal));
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#failed.set(key, error);
    }
    if (controller.signal.aborted) return;
    this.#running.delete(key);
    this.#changed(key);
    this.#fill();
  }

  #keep(key, loaded) {
    this.#kept.set(key, loaded);
    this.#bytes += loaded.bytes;
    if (this.#bytes <= this.mostBytes) return;
    const rank = new Map(this.#wanted.map((task, index) => [task.key, index]));
    const leastWanted = [...this.#kept.keys()].sort((a, b) => (rank.get(b) ?? Infinity) - (rank.get(a) ?? Infinity) || 0);
    for (const other of leastWanted) {
      if (this.#bytes <= this.mostBytes || other === this.#wanted[0]?.key) return;
      this.#bytes -= this.#kept.get(other).bytes;
      this.#kept.get(other).bitmap?.close();
      this.#kept.delete(other);
    }
  }
}
