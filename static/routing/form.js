// The form of a rule: conditions come and go, and what does not matter is not asked for.

const form = document.querySelector("form.routing-form");
const rows = form.querySelector("[data-conditions]");
const blank = document.getElementById("condition");

const VALUELESS = ["is_empty", "is_not_empty"];
const HINTS = { is_one_of: "CT; MR", is_none_of: "CT; MR", in_range: "from..to", matches: "CT*head*" };

const suit = (row) => {
  const operator = row.querySelector("[name=operator]").value;
  const value = row.querySelector("[name=values]");
  value.readOnly = VALUELESS.includes(operator);
  if (value.readOnly) value.value = "";
  value.placeholder = HINTS[operator] ?? "";
};

let made = 0;
const add = () => {
  const row = blank.content.firstElementChild.cloneNode(true);
  made += 1;
  for (const control of row.querySelectorAll("[id]")) control.id = control.id.replace("new", `new-${made}`);
  rows.append(row);
  suit(row);
  return row;
};

form.querySelector("[data-adds]").addEventListener("click", () => add().querySelector("select").focus());
rows.addEventListener("click", (event) => {
  const button = event.target.closest("[data-removes]");
  if (!button) return;
  button.closest(".condition-row").remove();
  (rows.querySelector("select") ?? form.querySelector("[data-adds]")).focus();
});
rows.addEventListener("change", (event) => suit(event.target.closest(".condition-row")));
for (const row of rows.children) suit(row);

const when = form.elements.namedItem("when");
const quiet = form.querySelector("[data-quiet]");
const ask = () => { quiet.hidden = when.value === "image"; };
when.addEventListener("change", ask);
ask();

document.querySelector("[data-summary]")?.focus();
