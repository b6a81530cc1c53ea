// Windows: which part of the values is shown as grey (PS3.3 C.11.2.1).

// For CT, in Hounsfield units.
const CT = [
  { name: "Soft tissue", center: 40, width: 400 },
  { name: "Lung", center: -600, width: 1500 },
  { name: "Bone", center: 500, width: 2000 },
  { name: "Brain", center: 40, width: 80 },
  { name: "Liver", center: 60, width: 160 },
  { name: "Mediastinum", center: 50, width: 350 },
].map((window) => ({ ...window, function: "linear" }));

// What can be chosen for an image; the first one is `null`: as each image says itself.
export function presetsFor(image) {
  const presets = [{ name: "Default", window: null }];
  if (image?.grey) {
    for (const window of image.windows.slice(1)) presets.push({ name: window.name || labelOf(window), window });
    presets.push({ name: "Full range", window: "full" });
    if (image.modality === "CT") presets.push(...CT.map((window) => ({ name: window.name, window })));
  }
  return presets;
}

export const labelOf = (window) => `${round(window.center)} / ${round(window.width)}`;

const round = (value) => (Math.abs(value) < 10 && !Number.isInteger(value) ? value.toFixed(2) : Math.round(value));

// The share of white that a value gets, 0 to 1.
export function shade(value, { center, width, function: kind }) {
  if (kind === "sigmoid") return 1 / (1 + Math.exp((-4 * (value - center)) / width));
  if (kind === "linear-exact") return clamp((value - center) / width + 0.5);
  return width <= 1 ? Number(value > center - 0.5) : clamp((value - (center - 0.5)) / (width - 1) + 0.5);
}

const clamp = (share) => Math.min(1, Math.max(0, share));

// From the smallest to the largest value.
export const spanning = (low, high) => ({
  center: (low + high + 1) / 2,
  width: Math.max(1, high - low + 1),
  function: "linear",
});

// Of the values an image can hold; for pictures, of their grey values.
export function possible(image) {
  if (!image.grey) return { center: 128, width: 256, function: "linear-exact" };
  const low = image.signed ? -(2 ** (image.bitsStored - 1)) : 0;
  const ends = [low, low + 2 ** image.bitsStored - 1].map((value) => value * image.slope + image.intercept);
  return spanning(Math.min(...ends), Math.max(...ends));
}
