// The series of the study, one below the other.

import { numbers, text } from "./attributes.js";
import { cut, element } from "./elements.js";

export class Strip {
  #pictures = [];

  // `open(series)` is called when one is chosen.
  constructor(list, archive, open) {
    Object.assign(this, { list, archive, open });
  }

  write(found, addressOf) {
    this.list.replaceChildren(...found.map((series) => element("li", {}, this.#link(series, addressOf))));
  }

  mark(series) {
    for (const link of this.list.querySelectorAll("a")) {
      const current = link.dataset.series === series;
      link.toggleAttribute("aria-current", current);
      if (current) link.scrollIntoView({ block: "nearest" });
    }
  }

  // After the first image: nothing it would have to wait for.
  loadPictures() {
    for (const picture of this.#pictures.splice(0)) picture.src = picture.dataset.src;
  }

  #link(found, addressOf) {
    const uid = text(found, "0020000E");
    const [modality, number] = [text(found, "00080060"), text(found, "00200011")];
    const count = numbers(found, "00201209")[0];
    const picture = element("img", { alt: "", loading: "lazy", decoding: "async" });
    picture.dataset.src = this.archive.thumbnail(uid);
    picture.addEventListener("error", () => picture.parentElement.classList.add("none"));
    this.#pictures.push(picture);
    const link = element(
      "a",
      { href: addressOf(uid) },
      element("span", { className: "thumbnail" }, element("span", { className: "modality" }, modality.slice(0, 16)), picture),
      cut(text(found, "0008103E") || "No description"),
      cut([number && `No. ${number}`, count === undefined ? "" : `${count} ${count === 1 ? "image" : "images"}`].filter(Boolean).join(" · "), "small"),
    );
    link.dataset.series = uid;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.open(uid);
    });
    return link;
  }
}
