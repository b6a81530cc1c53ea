// The DICOM JSON model (PS3.18 F.2): values of a data set, by tag.

export const values = (dataset, tag) => dataset?.[tag]?.Value ?? [];

export const items = (dataset, tag) => values(dataset, tag).filter((item) => item && typeof item === "object");

export const text = (dataset, tag) => values(dataset, tag).map(asText).filter(Boolean).join(", ");

export function numbers(dataset, tag) {
  const found = values(dataset, tag).map((value) => (value === null || value === "" ? NaN : Number(value)));
  return found.every(Number.isFinite) ? found : [];
}

export const number = (dataset, tag, otherwise) => numbers(dataset, tag)[0] ?? otherwise;

function asText(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? personName(value) : String(value);
}

// `Doe^John^^Dr` -> `Doe, John, Dr`; an ideographic group follows in brackets.
export function personName(value) {
  const [alphabetic, ...others] = ["Alphabetic", "Ideographic", "Phonetic"].map((group) => nameGroup(value?.[group]));
  const beside = others.filter(Boolean).join(" / ");
  if (!alphabetic) return beside;
  return beside ? `${alphabetic} (${beside})` : alphabetic;
}

// PS3.5 6.2.1.1: family name, given name, middle name, prefix, suffix.
function nameGroup(group) {
  const [family, given = "", middle = "", ...rest] = String(group ?? "").split("^").map((part) => part.trim());
  return [family, `${given} ${middle}`.trim(), ...rest].filter(Boolean).join(", ");
}

export const day = (value) => value.replace(/^(\d{4})(\d\d)(\d\d)$/, "$1-$2-$3");

export const time = (value) => value.replace(/^(\d\d)(\d\d).*$/, "$1:$2");
