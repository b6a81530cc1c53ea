// Mouse, wheel and fingers on the stage.

const CLICKS = { 1: "pan", 2: "zoom" }; // what the other buttons of a mouse do, whatever is chosen
const NOTCH = 40; // pixels of a wheel or a finger for one image

export class Gestures {
  tool = "window";
  #fingers = new Map();
  #start = null;
  #rest = 0; // of a scroll that is not yet an image

  constructor(stage, viewer) {
    Object.assign(this, { stage, viewer });
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.#up(event));
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("dblclick", () => viewer.view.fit());
  }

  #down(event) {
    if (event.target !== this.stage) return;
    this.stage.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, placeOf(event));
    const window = this.viewer.currentWindow();
    this.#start = { tool: CLICKS[event.button] ?? this.tool, ...placeOf(event), window, changed: false };
    this.#rest = 0;
  }

  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    if (!before) return;
    const now = placeOf(event);
    const others = [...this.#fingers].filter(([finger]) => finger !== event.pointerId).map(([, place]) => place);
    this.#fingers.set(event.pointerId, now);
    if (others.length) this.#pinch(before, now, others[0]);
    else this[`_${this.#start.tool}`](now.x - before.x, now.y - before.y, now);
  }

  #up(event) {
    if (!this.#fingers.delete(event.pointerId) || this.#fingers.size) return;
    if (this.#start.changed) this.viewer.dragWindow(this.viewer.window, true);
    this.#start = null;
  }

  #pinch(before, now, other) {
    const { view } = this.viewer;
    const distance = (place) => Math.hypot(place.x - other.x, place.y - other.y) || 1;
    view.zoomBy(distance(now) / distance(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    view.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
  }

  // To the right: wider. Down: darker, as the center goes up.
  _window(_dx, _dy, now) {
    const { window } = this.#start;
    if (!window) return;
    const [dx, dy] = [now.x - this.#start.x, now.y - this.#start.y];
    const step = Math.max(window.width, 1) / 300;
    const width = Math.max(1, window.width * Math.exp(dx / 200));
    this.#start.changed = true;
    this.viewer.dragWindow({ center: window.center + dy * step, width, function: window.function }, false);
  }

  _pan(dx, dy) {
    this.viewer.view.panBy(dx, dy);
  }

  _zoom(_dx, dy) {
    this.viewer.view.zoomBy(Math.exp(-dy / 150), { x: this.#start.x, y: this.#start.y });
  }

  _scroll(_dx, dy) {
    this.#scroll(dy / 4);
  }

  #wheel(event) {
    event.preventDefault();
    const size = event.deltaMode === 0 ? event.deltaY : event.deltaY * NOTCH;
    if (event.ctrlKey) this.viewer.view.zoomBy(Math.exp(-size / 300), placeOf(event));
    // One notch of a wheel is one image, however far the system scrolls by it; fingers move it bit by bit.
    else if (Math.abs(size) >= NOTCH) this.viewer.step(Math.sign(size));
    else this.#scroll(size);
  }

  #scroll(size) {
    this.#rest += size;
    const count = Math.trunc(this.#rest / (NOTCH / 4));
    if (!count) return;
    this.#rest -= (count * NOTCH) / 4;
    this.viewer.step(count);
  }
}

const placeOf = (event) => ({ x: event.offsetX, y: event.offsetY });
