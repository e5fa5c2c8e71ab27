// Picks light or dark before the page is painted. The switch itself is in js/appearance.js.
(() => {
  let chosen = "auto";
  try {
    chosen = localStorage.getItem("postlatch-theme") || "auto";
  } catch {
    // Storage may be blocked; then the system decides.
  }
  const dark = chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-bs-theme", dark ? "dark" : "light");
})();
