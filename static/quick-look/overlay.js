// What is written over the picture.

import { day, numbers, text, time } from "./attributes.js";
import { cut } from "./elements.js";
import { valueAt } from "./pixels.js";
import { labelOf } from "./windows.js";

// PS3.3 C.7.6.1.1.1: the patient's axes point to the left, to the back, to the head.
const WAYS = [
  ["L", "R"],
  ["P", "A"],
  ["H", "F"],
];

export class Overlay {
  constructor(viewer, places) {
    Object.assign(this, { viewer, places });
    viewer.addEventListener("image", () => this.#write());
    viewer.addEventListener("shown", () => this.#write());
    viewer.addEventListener("window", () => this.#write());
  }

  async #write() {
    const { viewer, places } = this;
    const { image, description } = viewer;
    const dataset = await viewer.archive.dataset(image).catch(() => ({}));
    if (image !== viewer.image) return;
    const of = (tag) => text(dataset, tag);
    const several = viewer.images.length;
    const frame = image.frames > 1 ? `Frame ${image.frame} / ${image.frames}` : "";
    const count = several > 1 && image.frames !== several ? `Image ${viewer.index + 1} / ${several}` : "";
    fill(places.series, [
      [of("00080060"), of("00200011") && `Series ${of("00200011")}`].filter(Boolean).join(" · "),
      of("0008103E"),
      [count, frame].filter(Boolean).join(" · "),
      locationOf(description, numbers(dataset, "00201041")[0]),
    ]);
    fill(places.study, [`${day(of("00080020"))} ${time(of("00080030"))}`.trim(), of("00081030"), of("00080050")]);
    this.writeView();
  }

  // What changes with each movement.
  writeView() {
    const { viewer, places } = this;
    const window = viewer.view.empty ? null : viewer.currentWindow();
    const grey = viewer.description?.grey;
    fill(places.view, [
      window && (grey || viewer.window) ? `${grey ? "C / W" : "Brightness"} ${labelOf(window)}` : "",
      viewer.shown && !viewer.view.empty ? `Zoom ${Math.round(100 * viewer.view.scale() * devicePixelRatio)} %` : "",
    ]);
    this.#writeOrientation();
  }

  // The value below the pointer.
  point(at) {
    const source = this.viewer.shown?.source;
    const pixel = at && source && this.viewer.view.pixelAt(at);
    const value = pixel && valueAt(source, pixel.x, pixel.y);
    const units = source?.image.modality === "CT" ? " HU" : "";
    this.places.pointer.textContent =
      value === undefined || value === null ? "" : `${pixel.x}, ${pixel.y}: ${Number(value.toFixed(2))}${units}`;
  }

  #writeOrientation() {
    const { viewer, places } = this;
    const cosines = viewer.shown && viewer.description?.orientation;
    const { right, down } = viewer.view.axes();
    const towards = (screen) => {
      if (cosines?.length !== 6) return "";
      // How far columns and rows of the image run that way on the stage, and so where in the patient it points.
      const [alongRow, alongColumn] = [right, down].map((axis) => axis[0] * screen[0] + axis[1] * screen[1]);
      return letters([0, 1, 2].map((axis) => alongRow * cosines[axis] + alongColumn * cosines[axis + 3]));
    };
    places.left.textContent = towards([-1, 0]);
    places.right.textContent = towards([1, 0]);
    places.top.textContent = towards([0, -1]);
    places.bottom.textContent = towards([0, 1]);
  }
}

function letters(direction) {
  return direction
    .map((length, axis) => ({ size: Math.abs(length), letter: WAYS[axis][length > 0 ? 0 : 1] }))
    .filter(({ size }) => size > 0.2)
    .sort((one, other) => other.size - one.size)
    .map(({ letter }) => letter)
    .join("");
}

function locationOf(description, location) {
  const parts = [];
  if (location !== undefined) parts.push(`Location ${location.toFixed(1)} mm`);
  if (description?.thickness) parts.push(`Thickness ${description.thickness} mm`);
  return parts.join(" · ");
}

function fill(place, lines) {
  place.replaceChildren(...lines.filter(Boolean).map((line) => cut(line, "div")));
}
