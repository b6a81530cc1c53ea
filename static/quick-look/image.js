// What a data set says about one frame: the same for classic and for enhanced objects.

import { items, number, numbers, text } from "./attributes.js";

const MOST_FRAMES = 100_000;
const LARGEST_RAW = 16 << 20; // bytes of a frame; larger ones come as a picture

// Items of QIDO instances -> the images of a stack, a frame each; what has no pixels is one entry without a frame.
export function imagesOf(series, instances) {
  return instances.flatMap((found) => {
    const instance = text(found, "00080018");
    const common = { series, instance, sopClass: text(found, "00080016") };
    if (!number(found, "00280010") || !number(found, "00280011")) return [{ ...common, frame: 0, frames: 0 }];
    const frames = frameCount(found);
    return Array.from({ length: frames }, (_, index) => ({ ...common, frame: index + 1, frames }));
  });
}

function frameCount(dataset) {
  const count = number(dataset, "00280008", 1);
  return Number.isInteger(count) && count > 0 ? Math.min(count, MOST_FRAMES) : 1;
}

export function describe(dataset, frame) {
  // PS3.3 C.7.6.16: of this frame, else of all frames, else of the object itself.
  const group = (sequence) =>
    items(items(dataset, "52009230")[frame - 1], sequence)[0] ??
    items(items(dataset, "52009229")[0], sequence)[0] ??
    dataset;
  const transformation = group("00289145");
  const measures = group("00289110");
  const spacing = [numbers(measures, "00280030"), numbers(dataset, "00181164")].find((pair) => pair.length === 2);
  const described = {
    rows: number(dataset, "00280010", 0),
    columns: number(dataset, "00280011", 0),
    samples: number(dataset, "00280002", 1),
    photometric: text(dataset, "00280004"),
    bitsAllocated: number(dataset, "00280100", 0),
    bitsStored: number(dataset, "00280101", number(dataset, "00280100", 0)),
    highBit: number(dataset, "00280102"),
    signed: number(dataset, "00280103", 0) === 1,
    padding: number(dataset, "00280120"),
    slope: number(transformation, "00281053", 1) || 1,
    intercept: number(transformation, "00281052", 0),
    windows: windowsOf(group("00289132")),
    hasTables: "00283000" in dataset || "00283010" in dataset,
    aspect: aspectOf(dataset, spacing),
    orientation: numbers(group("00209116"), "00200037"),
    thickness: number(measures, "00180050"),
    modality: text(dataset, "00080060"),
    rate: rateOf(dataset),
  };
  return { ...described, ...wayOf(described) };
}

// `values`: pixels come raw and are windowed here. Else a picture comes, which the server has windowed if it is `grey`.
function wayOf(image) {
  const grey = image.samples === 1 && /^MONOCHROME[12]$/.test(image.photometric);
  const bytes = (image.rows * image.columns * image.bitsAllocated) / 8;
  const plain =
    (image.bitsAllocated === 8 || image.bitsAllocated === 16) &&
    image.bitsStored > 0 &&
    image.bitsStored <= image.bitsAllocated &&
    (image.highBit ?? image.bitsStored - 1) === image.bitsStored - 1;
  return { grey, values: grey && plain && !image.hasTables && bytes <= LARGEST_RAW };
}

const FUNCTIONS = { LINEAR_EXACT: "linear-exact", SIGMOID: "sigmoid" };

// PS3.3 C.11.2
function windowsOf(dataset) {
  const centers = numbers(dataset, "00281050");
  const widths = numbers(dataset, "00281051");
  const names = dataset?.["00281055"]?.Value ?? [];
  const kind = FUNCTIONS[text(dataset, "00281056")] ?? "linear";
  return centers
    .map((center, index) => ({ center, width: widths[index], function: kind, name: String(names[index] ?? "") }))
    .filter((window) => window.width > 0);
}

// Height of a pixel by its width.
function aspectOf(dataset, spacing) {
  const [high, wide] = spacing ?? numbers(dataset, "00280034");
  const aspect = high / wide;
  return aspect > 0.05 && aspect < 20 ? aspect : 1;
}

// Frames a second, as the object recommends them (PS3.3 C.7.6.5).
function rateOf(dataset) {
  const vector = numbers(dataset, "00181065").slice(1);
  const time = number(dataset, "00181063") || vector.reduce((sum, value) => sum + value, 0) / vector.length;
  const rate = number(dataset, "00082144") || number(dataset, "00180040") || 1000 / time;
  return rate > 0 && rate <= 1000 ? rate : undefined;
}
