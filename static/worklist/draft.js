// What is typed and not saved survives a reload, in this tab and for this user alone; it goes when it is saved (the page
// that follows says so), when it is discarded and when somebody signs out.

const PREFIX = "draft:";

const form = document.querySelector("form[data-draft]");
const key = form && PREFIX + form.dataset.draft;
const user = document.querySelector(".who bdi")?.textContent ?? "";

const controls = () => [...form.elements].filter((each) => each.name && !["csrfmiddlewaretoken", "q", "confirmed"].includes(each.name));
const texts = () => Object.fromEntries(controls().map((each) => [each.name, each.value]));

const restore = (kept) => {
  for (const each of controls()) {
    if (!(each.name in kept)) continue;
    if (each.tagName === "SELECT" && ![...each.options].some((option) => option.value === kept[each.name])) continue;
    each.value = kept[each.name];
  }
  form.querySelector("[data-restored]").hidden = false;
  form.dispatchEvent(new Event("restored"));
};

for (const name of Object.keys(sessionStorage)) {
  if (name.startsWith(PREFIX) && !name.startsWith(`${PREFIX}${user}:`)) sessionStorage.removeItem(name);
}
for (const saved of document.querySelectorAll("[data-forget]")) {
  sessionStorage.removeItem(`${PREFIX}${user}:${saved.dataset.forget}`);
}

if (form) {
  const first = JSON.stringify(texts());
  const kept = sessionStorage.getItem(key);
  if (form.dataset.sent === undefined && kept && kept !== first) restore(JSON.parse(kept));
  const keep = () => sessionStorage.setItem(key, JSON.stringify(texts()));
  if (form.dataset.sent !== undefined) keep();
  form.addEventListener("input", keep);
  form.addEventListener("change", keep);
  form.querySelector("[data-discard]").addEventListener("click", () => {
    sessionStorage.removeItem(key);
    location.assign(location.pathname + location.search);
  });
  for (const link of form.querySelectorAll("[data-leaves]")) link.addEventListener("click", () => sessionStorage.removeItem(key));
}
