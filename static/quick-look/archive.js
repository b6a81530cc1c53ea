// What is asked of the server: DICOMweb, in the session of the page.

const JSON_TYPE = "application/dicom+json";

// An answer that is none: `message` is what the server says of it.
export class Refused extends Error {
  constructor(status, message) {
    super(message || `The server answered ${status}.`);
    this.status = status;
  }
}

export class Archive {
  #datasets = new Map(); // SOP Instance UID -> promise of a data set

  constructor(root, study) {
    this.study = `${root}/studies/${study}`;
  }

  series() {
    return this.#json(`${this.study}/series?includefield=NumberOfSeriesRelatedInstances`);
  }

  instances(series) {
    return this.#json(`${this.study}/series/${series}/instances`);
  }

  thumbnail(series) {
    return `${this.study}/series/${series}/thumbnail`;
  }

  address(image) {
    return `${this.study}/series/${image.series}/instances/${image.instance}`;
  }

  // Of one instance, once. Who takes back his question does not take back that of others: it is small.
  dataset(image) {
    let found = this.#datasets.get(image.instance);
    if (!found) {
      found = this.#json(`${this.address(image)}/metadata`).then(([dataset]) => dataset ?? {});
      this.#datasets.set(image.instance, found);
      found.catch(() => this.#datasets.delete(image.instance));
    }
    return found;
  }

  // Those of a whole series, so that no other image asks for its own.
  async readSeries(series) {
    for (const dataset of await this.#json(`${this.study}/series/${series}/metadata`)) {
      const uid = dataset["00080018"]?.Value?.[0];
      if (uid && !this.#datasets.has(uid)) this.#datasets.set(uid, Promise.resolve(dataset));
    }
  }

  forgetDatasets() {
    this.#datasets.clear();
  }

  // The pixels of a frame as they are, decompressed: little endian, no header.
  async frame(image, signal) {
    const answer = await this.#fetch(`${this.address(image)}/frames/${image.frame}`, "application/octet-stream", signal);
    return answer.arrayBuffer();
  }

  // A frame as a picture; `window` as PS3.18 8.3.5.1.4 writes it.
  async rendered(image, window, signal) {
    const address = `${this.address(image)}/frames/${image.frame}/rendered`;
    const asked = window ? `?window=${window.center},${window.width},${window.function}` : "";
    const answer = await this.#fetch(address + asked, "image/jpeg, image/png", signal);
    return createImageBitmap(await answer.blob());
  }

  async #json(address) {
    const answer = await this.#fetch(address, JSON_TYPE);
    return answer.status === 204 ? [] : answer.json();
  }

  async #fetch(address, accept, signal) {
    let answer;
    try {
      answer = await fetch(address, { headers: { Accept: accept }, signal });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Refused(0, "The server cannot be reached.");
    }
    if (!answer.ok) throw new Refused(answer.status, await reason(answer));
    return answer;
  }
}

// RFC 9457
async function reason(answer) {
  try {
    return String((await answer.json()).title ?? "");
  } catch {
    return "";
  }
}
