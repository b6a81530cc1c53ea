// Keys of the worklist's pages; the page lists them under `?`.

const typing = (element) => element.closest("input:not([type=radio], [type=checkbox]), select, textarea, [contenteditable]");

const follow = (key) => {
  const link = document.querySelector(`[data-shortcut="${CSS.escape(key)}"]`);
  link?.click();
  return Boolean(link);
};

// Links of a list, in the order of reading; of a grid of columns, up and down stay in theirs.
const links = (list) => [...list.querySelectorAll("tbody a[id], a[data-row]")];

const step = (key) => {
  const list = document.activeElement.closest("[data-rows]") ?? document.querySelector("[data-rows]");
  if (!list) return false;
  const all = links(list);
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? all[0] : all[at + (key === "ArrowDown" ? 1 : -1)];
  next?.focus();
  return Boolean(next);
};

const save = () => {
  const form = document.activeElement?.closest("form[data-saves]") ?? document.querySelector("form[data-saves]");
  if (!form) return false;
  form.requestSubmit(form.querySelector("[data-save]"));
  return true;
};

const done = (event) => {
  if (document.querySelector("dialog[open]")) return false;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return save();
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "Escape") return follow("Escape");
  if (typing(event.target)) return false;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") return step(event.key);
  if (event.key === "?") {
    document.getElementById("keys").showModal();
    return true;
  }
  return event.key.length === 1 && follow(event.key);
};

document.addEventListener("keydown", (event) => {
  if (!event.defaultPrevented && done(event)) event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-shows-keys]")) document.getElementById("keys").showModal();
});
