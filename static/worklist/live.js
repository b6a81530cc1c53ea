// Parts that follow the server: asked for every three seconds while somebody can see them. What has not changed is not
// drawn again; who cannot be reached is asked again.

const EVERY = 3000;

const beat = () => {
  if (document.visibilityState !== "visible") return;
  for (const part of document.querySelectorAll("[data-live]")) htmx.trigger(part, "live");
};
setInterval(beat, EVERY);
document.addEventListener("visibilitychange", beat);

const said = (event, lost) => {
  if (!event.detail.elt?.matches?.("[data-live]")) return;
  for (const state of document.querySelectorAll("[data-live-state]")) state.classList.toggle("lost", lost);
};
document.addEventListener("htmx:sendError", (event) => said(event, true));
document.addEventListener("htmx:responseError", (event) => said(event, true));
document.addEventListener("htmx:afterOnLoad", (event) => said(event, false));
