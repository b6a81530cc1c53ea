// Keys, what they do, and the page that says so.

import { element } from "./elements.js";

export const KEYS = [
  { keys: ["ArrowDown", "ArrowRight"], shown: "↓ →", command: "next", says: "Next image" },
  { keys: ["ArrowUp", "ArrowLeft"], shown: "↑ ←", command: "previous", says: "Previous image" },
  { keys: ["PageDown"], shown: "Page ↓", command: "tenOn", says: "Ten images on" },
  { keys: ["PageUp"], shown: "Page ↑", command: "tenBack", says: "Ten images back" },
  { keys: ["Home"], shown: "Home", command: "first", says: "First image" },
  { keys: ["End"], shown: "End", command: "last", says: "Last image" },
  { keys: ["]", "n"], shown: "] n", command: "nextSeries", says: "Next series" },
  { keys: ["[", "b"], shown: "[ b", command: "previousSeries", says: "Previous series" },
  { keys: [" "], shown: "Space", command: "cine", says: "Play or pause" },
  { keys: ["w"], shown: "w", command: "window", says: "Drag for the window" },
  { keys: ["p"], shown: "p", command: "pan", says: "Drag to move" },
  { keys: ["z"], shown: "z", command: "zoom", says: "Drag to zoom" },
  { keys: ["s"], shown: "s", command: "scroll", says: "Drag through the stack" },
  { keys: [..."123456789"], shown: "1 … 9", command: "preset", says: "A window of the list" },
  { keys: ["i"], shown: "i", command: "invert", says: "Invert" },
  { keys: ["+", "="], shown: "+", command: "larger", says: "Larger" },
  { keys: ["-"], shown: "−", command: "smaller", says: "Smaller" },
  { keys: ["f"], shown: "f", command: "fit", says: "Fit to the stage" },
  { keys: ["a"], shown: "a", command: "actualSize", says: "One to one" },
  { keys: ["r"], shown: "r", command: "turn", says: "Turn to the right" },
  { keys: ["m"], shown: "m", command: "mirror", says: "Mirror" },
  { keys: ["0"], shown: "0", command: "reset", says: "As it was at first" },
  { keys: ["t"], shown: "t", command: "tags", says: "Elements of the data set" },
  { keys: ["/"], shown: "/", command: "searchTags", says: "Search the elements" },
  { keys: ["?"], shown: "?", command: "help", says: "These keys" },
];

const MOUSE = [
  ["Wheel", "Through the stack"],
  ["Ctrl + wheel", "Zoom at the pointer"],
  ["Left button", "The tool that is chosen"],
  ["Middle button", "Move"],
  ["Right button", "Zoom"],
  ["Double click", "Fit to the stage"],
  ["Two fingers", "Zoom and move"],
];

export function listen(commands) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const field = event.target.closest("input, select, textarea, button, a, [contenteditable]");
    const typed = field && !(field.matches("button, a") && event.key !== " " && event.key !== "Enter");
    if (event.key === "Escape") event.target.blur();
    if (typed) return;
    const found = KEYS.find(({ keys }) => keys.includes(event.key.length === 1 ? event.key.toLowerCase() : event.key));
    if (!found) return;
    event.preventDefault();
    commands[found.command](event.key);
  });
}

export function writeHelp(list) {
  const lines = [...KEYS.map(({ shown, says }) => [shown, says]), ...MOUSE];
  list.replaceChildren(
    ...lines.map(([shown, says]) => element("div", {}, element("dt", {}, element("kbd", {}, shown)), element("dd", {}, says))),
  );
}
