// The elements of a data set as rows that can be searched.

import { personName } from "./attributes.js";
import { element, shortened } from "./elements.js";

const MOST_ROWS = 1000;

let keywords = null; // tag -> keyword; groups that repeat have `x` for what varies

async function readKeywords(address) {
  keywords ??= fetch(address).then((answer) => (answer.ok ? answer.json() : {}), () => ({}));
  return keywords;
}

export class Tags {
  #rows = [];

  constructor(panel, address) {
    this.panel = panel;
    this.address = address;
    this.search = panel.querySelector("input");
    this.body = panel.querySelector("tbody");
    this.note = panel.querySelector("[data-note]");
    this.search.addEventListener("input", () => this.#write());
  }

  async show(dataset) {
    const names = await readKeywords(this.address);
    this.#rows = [...rowsOf(dataset, names)];
    this.#write();
  }

  #write() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = words.length ? withParents(this.#rows, words) : this.#rows;
    this.body.replaceChildren(...wanted.slice(0, MOST_ROWS).map(rowElement));
    this.note.textContent =
      wanted.length > MOST_ROWS
        ? `The first ${MOST_ROWS} of ${wanted.length} elements; search for others.`
        : `${wanted.length} of ${this.#rows.length} elements`;
  }
}

// Rows that hold all the words, and the sequences they are in.
function withParents(rows, words) {
  const kept = new Set();
  for (const row of rows) {
    if (!words.every((word) => row.found.includes(word))) continue;
    for (let at = row; at; at = at.parent) kept.add(at);
  }
  return rows.filter((row) => kept.has(row));
}

export function* rowsOf(dataset, names, depth = 0, parent = undefined) {
  for (const tag of Object.keys(dataset).sort()) {
    const entry = dataset[tag] ?? {};
    const row = {
      tag: `(${tag.slice(0, 4)},${tag.slice(4)})`,
      keyword: keywordOf(tag, names),
      vr: String(entry.vr ?? ""),
      value: valueOf(entry),
      depth,
      parent,
    };
    row.found = `${row.tag} ${tag} ${row.keyword} ${row.vr} ${row.value}`.toLowerCase();
    yield row;
    if (entry.vr === "SQ") yield* itemRows(entry.Value ?? [], names, depth + 1, row);
  }
}

function* itemRows(items, names, depth, parent) {
  for (const [index, item] of items.entries()) {
    const row = { tag: "", keyword: `Item ${index + 1}`, vr: "", value: "", depth, parent, found: "" };
    yield row;
    yield* rowsOf(item ?? {}, names, depth + 1, row);
  }
}

function keywordOf(tag, names) {
  if (parseInt(tag.slice(3, 4), 16) % 2) return "private";
  return names[tag] ?? names[`${tag.slice(0, 2)}xx${tag.slice(4)}`] ?? "";
}

function valueOf(entry) {
  if (entry.vr === "SQ") return `${entry.Value?.length ?? 0} items`;
  if (entry.BulkDataURI) return "bulk data";
  if (entry.InlineBinary) return `${Math.floor((entry.InlineBinary.length * 3) / 4)} bytes`;
  const values = entry.Value ?? [];
  return values.map((value) => (value && typeof value === "object" ? personName(value) : String(value ?? ""))).join(" \\ ");
}

function rowElement(row) {
  const name = element("td", { className: "keyword", title: row.keyword }, row.keyword);
  name.style.paddingInlineStart = `${row.depth + 0.5}rem`;
  return element(
    "tr",
    {},
    element("td", { className: "tag" }, row.tag),
    name,
    element("td", { className: "vr" }, row.vr),
    element("td", { title: shortened(row.value) }, element("bdi", { className: "cut", textContent: shortened(row.value) })),
  );
}
