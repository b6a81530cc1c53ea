// The form of a schedule: only the fields of the chosen sort of time are shown, and its next times follow what is typed.

const form = document.querySelector("form.schedule-form");
const when = form.elements.namedItem("when");

const show = () => {
  for (const part of form.querySelectorAll("[data-when]")) part.hidden = part.dataset.when !== when.value;
};
const asks = (event) => {
  if (event.target.matches("[data-asks]")) htmx.trigger(document.body, "asks");
};
when.addEventListener("change", show);
form.addEventListener("input", asks);
form.addEventListener("change", asks);
show();

document.querySelector("[data-summary]")?.focus();
