// The form of a step: filled from templates and from known patients, checked while somebody types.

const form = document.querySelector("form.order");
const field = (name) => form.elements.namedItem(name);

const fill = (values) => {
  const filled = [];
  for (const [name, value] of Object.entries(values)) {
    const control = field(name);
    if (!control || control.value === value) continue;
    if (control.tagName === "SELECT" && value && ![...control.options].some((option) => option.value === value)) {
      control.add(new Option(value, value));
    }
    control.value = value;
    control.classList.add("just-filled");
    setTimeout(() => control.classList.remove("just-filled"), 1500);
    filled.push(control.closest(".field").querySelector(".form-label").textContent.trim());
  }
  form.dispatchEvent(new Event("change", { bubbles: true }));
  form.querySelector("[data-filled]").textContent = [...new Set(filled)].join(" · ");
};

// Templates

form.querySelector("select[data-fills]").addEventListener("change", (event) => {
  const chosen = event.target.selectedOptions[0];
  // What the template leaves open stays as it is.
  if (chosen?.dataset.fill) fill(Object.fromEntries(Object.entries(JSON.parse(chosen.dataset.fill)).filter(([, value]) => value)));
});
form.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-fill], button[data-takes]");
  if (!button) return;
  if (button.dataset.fill) fill(JSON.parse(button.dataset.fill));
  else fill({ [button.dataset.takes]: button.dataset.value });
  button.disabled = true;
});

// Known patients

const find = document.getElementById("patient-find");
const list = document.getElementById("patient-options");
if (find) {
  const options = () => [...list.querySelectorAll("[role=option]")];
  const current = () => list.querySelector("[aria-selected=true]");
  const close = () => {
    list.replaceChildren();
    find.setAttribute("aria-expanded", "false");
    find.removeAttribute("aria-activedescendant");
  };
  const mark = (option) => {
    current()?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) find.setAttribute("aria-activedescendant", option.id);
  };
  const choose = (option) => {
    fill(JSON.parse(option.dataset.fill));
    find.value = "";
    close();
    field("modality").focus();
  };
  find.addEventListener("keydown", (event) => {
    const all = options();
    const at = all.indexOf(current());
    if (event.key === "ArrowDown") mark(all[Math.min(at + 1, all.length - 1)]);
    else if (event.key === "ArrowUp") mark(all[Math.max(at - 1, 0)]);
    else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      if (all.length) choose(current() ?? all[0]);
    } else if (event.key === "Escape" && list.children.length) close();
    else return;
    event.preventDefault();
  });
  find.addEventListener("blur", () => setTimeout(close, 200));
  list.addEventListener("mousedown", (event) => {
    const option = event.target.closest("[role=option]");
    event.preventDefault();
    if (option) choose(option);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== list) return;
    find.setAttribute("aria-expanded", String(list.children.length > 0));
    if (document.activeElement !== find) close();
  });
}

// Duplicates and known patients are looked for when what decides them has changed.

const DECIDES = ["patient_id", "issuer_of_patient_id", "modality", "scheduled_procedure_step_start_date", "requested_procedure_description"];
const decisive = () => DECIDES.map((name) => field(name).value).join("\n");
// What was just asked, or is not said yet, need not be looked for.
let checked = form.dataset.sent === undefined && field("patient_id").value ? "" : decisive();
let waiting;
const check = () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (decisive() === checked) return;
    checked = decisive();
    htmx.trigger(form.querySelector("[data-check]"), "check");
  }, 300);
};
for (const name of ["input", "change", "restored"]) form.addEventListener(name, check);
addEventListener("load", check);

// A page that asks something back begins with that.
document.querySelector("[data-summary]")?.focus();
