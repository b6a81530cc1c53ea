// What has no pixels: documents, reports, and whatever is best shown by its elements.

import { items, text } from "./attributes.js";
import { element, shortened } from "./elements.js";

const ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1";
const REPORTS = "1.2.840.10008.5.1.4.1.1.88.";

// The element that shows it; nothing if there is nothing but its elements.
export function documentOf(image, dataset, address) {
  if (image.sopClass === ENCAPSULATED_PDF) {
    const source = `${address}/rendered?accept=application/pdf`;
    const title = text(dataset, "00420010") || "Document";
    return element(
      "div",
      { className: "document" },
      element("iframe", { src: source, title: shortened(title) }),
      element("a", { href: source, target: "_blank", rel: "noopener" }, "Open the document in a window of its own"),
    );
  }
  if (image.sopClass.startsWith(REPORTS)) {
    return element("article", { className: "report" }, element("ul", {}, contentItem(dataset)));
  }
  return element("p", { className: "nothing" }, "This object has no pixels. Its elements say what it is.");
}

// PS3.3 C.17.3.2: a name, a value, and what is said below it.
function contentItem(item) {
  const name = meaningOf(item, "0040A043");
  const value = contentValue(item);
  const below = items(item, "0040A730").map(contentItem);
  return element(
    "li",
    {},
    element("span", { className: "concept" }, element("bdi", { textContent: shortened(name || "Content") })),
    value ? element("bdi", { className: "content", textContent: shortened(value) }) : "",
    below.length ? element("ul", {}, ...below) : "",
  );
}

function contentValue(item) {
  const measured = items(item, "0040A300")[0];
  if (measured) return `${text(measured, "0040A30A")} ${text(items(measured, "004008EA")[0], "00080100")}`.trim();
  const plain = ["0040A160", "0040A123", "0040A120", "0040A121", "0040A122", "0040A124"].map((tag) => text(item, tag));
  return plain.find(Boolean) ?? meaningOf(item, "0040A168");
}

const meaningOf = (item, sequence) => text(items(item, sequence)[0], "00080104");
