// Light or dark: as chosen, else as the system has it. Loaded before anything is drawn, so that nothing flashes. The
// choice is kept as the administration of Django keeps its own: one switch for both.
"use strict";

{
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const ofSystem = () => (system.matches ? "dark" : "light");

  const show = () => {
    const chosen = localStorage.getItem("theme");
    root.dataset.bsTheme = chosen === "light" || chosen === "dark" ? chosen : ofSystem();
  };

  show();
  system.addEventListener("change", show);
  addEventListener("storage", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const chosen = root.dataset.bsTheme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", chosen === ofSystem() ? "auto" : chosen);
    show();
  });
}
