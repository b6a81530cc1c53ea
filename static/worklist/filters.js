// Days named and a quick choice of days exclude each other: the last one said counts.

const form = document.getElementById("filters");

form?.addEventListener(
  "input",
  (event) => {
    const days = form.querySelectorAll("input[type=date]");
    if (event.target.type === "radio") for (const day of days) day.value = "";
    if (event.target.type !== "date") return;
    const said = [...days].some((day) => day.value);
    for (const radio of form.querySelectorAll("input[type=radio]")) radio.checked = !said && radio.value === "today";
  },
  { capture: true },
);
