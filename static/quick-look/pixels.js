// A frame, however it came, -> a canvas that shows it through a window.

import { possible, shade, spanning } from "./windows.js";

// Raw values of `image`. Throws when there are not as many as there should be.
export function valuesOf(buffer, image) {
  const length = image.rows * image.columns;
  const Values = image.bitsAllocated === 16 ? Uint16Array : Uint8Array;
  if (buffer.byteLength < length * Values.BYTES_PER_ELEMENT) throw new Error("The frame is shorter than its size says.");
  return { image, values: new Values(buffer, 0, length), bytes: buffer.byteLength };
}

export function pictureOf(bitmap, image, window) {
  return { image, bitmap, window, bytes: bitmap.width * bitmap.height * 4 };
}

// Stored value -> value that windows mean, for all there are.
function meaning(image) {
  const half = image.signed ? 2 ** (image.bitsStored - 1) : Infinity;
  const whole = 2 ** image.bitsStored;
  return (stored) => (stored >= half ? stored - whole : stored) * image.slope + image.intercept;
}

// The value at a place of the image, if it is known.
export function valueAt(source, x, y) {
  const { image, values } = source;
  if (!values || x < 0 || y < 0 || x >= image.columns || y >= image.rows) return undefined;
  return meaning(image)(values[y * image.columns + x] & (2 ** image.bitsStored - 1));
}

function range(source) {
  if (!source.range) {
    const { image, values } = source;
    const mask = 2 ** image.bitsStored - 1;
    const half = image.signed ? 2 ** (image.bitsStored - 1) : Infinity;
    let [low, high] = [Infinity, -Infinity];
    for (let index = 0; index < values.length; index += 1) {
      const stored = values[index] & mask;
      const value = stored >= half ? stored - mask - 1 : stored;
      if (value === image.padding) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) [low, high] = [0, 0];
    const ends = [low, high].map((value) => value * image.slope + image.intercept);
    source.range = spanning(Math.min(...ends), Math.max(...ends));
  }
  return source.range;
}

// The window that `asked` means for this frame: null its own, "full" all its values.
export function effective(source, asked) {
  if (asked && asked !== "full") return asked;
  const own = asked ? undefined : source.image.windows[0];
  if (source.values) return own ?? range(source);
  return own && source.image.grey ? own : possible(source.image);
}

export function paint(canvas, source, asked, inverted) {
  const window = effective(source, asked);
  if (source.values) paintValues(canvas, source, window, inverted);
  else paintPicture(canvas, source, window, inverted);
}

function paintValues(canvas, source, window, inverted) {
  const { image, values } = source;
  const size = 2 ** image.bitsStored;
  const value = meaning(image);
  const dark = inverted !== (image.photometric === "MONOCHROME1");
  const colours = new Uint32Array(size);
  for (let stored = 0; stored < size; stored += 1) {
    const grey = Math.round(255 * shade(value(stored), window));
    colours[stored] = 0xff000000 | ((dark ? 255 - grey : grey) * 0x010101);
  }
  const pixels = new ImageData(image.columns, image.rows);
  const target = new Uint32Array(pixels.data.buffer);
  const mask = size - 1;
  for (let index = 0; index < target.length; index += 1) target[index] = colours[values[index] & mask];
  resize(canvas, image.columns, image.rows);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// As it came where it came so; else from what it shows now, nearly, until the right one comes.
function paintPicture(canvas, source, window, inverted) {
  const { bitmap } = source;
  resize(canvas, bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const came = source.window ?? effective(source, null);
  if (!inverted && same(came, window)) return;
  const table = new Uint8ClampedArray(256);
  for (let grey = 0; grey < 256; grey += 1) {
    const value = came.center + (grey / 255 - 0.5) * came.width;
    const shown = same(came, window) ? grey : Math.round(255 * shade(value, window));
    table[grey] = inverted ? 255 - shown : shown;
  }
  const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const { data } = pixels;
  for (let index = 0; index < data.length; index += 4) {
    data[index] = table[data[index]];
    data[index + 1] = table[data[index + 1]];
    data[index + 2] = table[data[index + 2]];
  }
  context.putImageData(pixels, 0, 0);
}

export const same = (one, other) =>
  one === other || (one?.center === other?.center && one?.width === other?.width && one?.function === other?.function);

function resize(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}
