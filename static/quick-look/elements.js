// Elements of the page, made from text that is never markup.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== ""));
  return made;
}

// Text of a patient: in its own direction, cut where it is too long, whole on hover.
export const cut = (text, name = "bdi") => element(name, { className: "cut", title: shortened(text), textContent: shortened(text) });

const LONGEST = 2000;
export const shortened = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
