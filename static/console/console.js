// What every page of the console does.

// A row opens what its link opens, unless text is being selected or something else was meant.
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-opens]");
  if (!row || event.target.closest("a, button, input, label") || String(getSelection())) return;
  if (event.ctrlKey || event.metaKey) open(row.dataset.opens, "_blank", "noopener");
  else location.assign(row.dataset.opens);
});

// A key goes to its field.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const field = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});

// A part that is being pressed is not drawn anew before it is let go: the click would go to what is there no longer.
let pressed = null;
const held = new Map();

const release = () => {
  pressed = null;
  for (const [asked, event] of held) if (asked.isConnected) htmx.trigger(asked, event);
  held.clear();
};
const press = (event) => event.isPrimary && event.button === 0 && (pressed = event.target);
document.addEventListener("pointerdown", press, { capture: true });
for (const end of ["pointerup", "pointercancel", "contextmenu", "dragend"])
  document.addEventListener(end, () => setTimeout(release), { capture: true });
window.addEventListener("blur", release);
document.addEventListener("htmx:beforeSwap", (event) => {
  const { shouldSwap, target, requestConfig } = event.detail;
  const { verb, elt, triggeringEvent } = requestConfig;
  if (!shouldSwap || verb !== "get" || !triggeringEvent || !pressed || !target.contains(pressed)) return;
  event.detail.shouldSwap = false;
  held.set(elt, triggeringEvent.type);
});

// The navigation of narrow windows.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-toggles]");
  if (!button) return;
  const shown = document.getElementById(button.dataset.toggles).classList.toggle("show");
  button.setAttribute("aria-expanded", String(shown));
});

// What has no picture says so.
const noPicture = (picture) => picture.closest(".thumbnail").classList.add("none");
for (const picture of document.querySelectorAll("img[data-thumbnail]")) {
  if (picture.complete && !picture.naturalWidth) noPicture(picture);
  picture.addEventListener("error", () => noPicture(picture));
}

// Who signs out leaves nothing that was typed and not saved.
document.querySelector("form[data-signs-out]")?.addEventListener("submit", () => sessionStorage.clear());
