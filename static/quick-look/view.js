// How a picture lies on the stage: zoom, place, turn; and drawing it there.

const [SMALLEST, LARGEST] = [0.02, 64];

export class View {
  #frame = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.picture = document.createElement("canvas"); // what is shown, a pixel of the image each
    this.aspect = 1;
    this.zoomed = () => {}; // told when zoom or turn have changed
    this.reset();
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  reset() {
    Object.assign(this, { zoom: null, x: 0, y: 0, turns: 0, mirrored: false }); // zoom null: fitting
    this.redraw();
  }

  fit() {
    Object.assign(this, { zoom: null, x: 0, y: 0 });
    this.redraw();
  }

  // One pixel of the image is one of the screen.
  actualSize() {
    Object.assign(this, { zoom: 1 / devicePixelRatio, x: 0, y: 0 });
    this.redraw();
  }

  // `at`: the place of the stage that stays where it is; its middle if none is given.
  zoomBy(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const before = this.scale();
    const after = Math.min(LARGEST, Math.max(SMALLEST, before * factor));
    const [dx, dy] = [at.x - this.canvas.clientWidth / 2, at.y - this.canvas.clientHeight / 2];
    this.x = dx - ((dx - this.x) * after) / before;
    this.y = dy - ((dy - this.y) * after) / before;
    this.zoom = after;
    this.redraw();
  }

  panBy(dx, dy) {
    this.zoom = this.scale();
    this.x += dx;
    this.y += dy;
    this.redraw();
  }

  turn() {
    this.turns = (this.turns + 1) % 4;
    this.redraw();
  }

  mirror() {
    this.mirrored = !this.mirrored;
    // What has been turned is mirrored as it is seen.
    if (this.turns % 2) this.turns = (this.turns + 2) % 4;
    this.redraw();
  }

  // Pixels of the page for one pixel of the image.
  scale() {
    if (this.zoom) return this.zoom;
    const size = [this.picture.width, this.picture.height * this.aspect];
    const [wide, high] = this.turns % 2 ? size.reverse() : size;
    return Math.min(this.canvas.clientWidth / wide, this.canvas.clientHeight / high) || 1;
  }

  // Where columns and rows of the image run on the stage: [x, y] of each, 1 long.
  axes() {
    const angle = (this.turns * Math.PI) / 2;
    const [cos, sin] = [Math.round(Math.cos(angle)), Math.round(Math.sin(angle))];
    const side = this.mirrored ? -1 : 1;
    return { right: [side * cos, side * sin], down: [-sin, cos] };
  }

  // The pixel of the image below a place of the stage.
  pixelAt(at) {
    const [dx, dy] = [at.x - this.canvas.clientWidth / 2 - this.x, at.y - this.canvas.clientHeight / 2 - this.y];
    const { right, down } = this.axes();
    const scale = this.scale();
    return {
      x: Math.floor((dx * right[0] + dy * right[1]) / scale + this.picture.width / 2),
      y: Math.floor((dx * down[0] + dy * down[1]) / (scale * this.aspect) + this.picture.height / 2),
    };
  }

  redraw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
      this.zoomed();
    });
  }

  #draw() {
    const { canvas, picture } = this;
    const ratio = devicePixelRatio;
    const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== high) canvas.height = high;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, wide, high);
    if (!picture.width || !picture.height || this.empty) return;
    const scale = this.scale() * ratio;
    const { right, down } = this.axes();
    context.setTransform(
      right[0] * scale,
      right[1] * scale,
      down[0] * scale * this.aspect,
      down[1] * scale * this.aspect,
      wide / 2 + this.x * ratio,
      high / 2 + this.y * ratio,
    );
    context.imageSmoothingEnabled = scale < 8; // beyond, pixels are what one wants to see
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, -picture.width / 2, -picture.height / 2);
  }
}
