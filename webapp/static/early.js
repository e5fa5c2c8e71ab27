// What can't wait for the panel's script, which comes last.

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

// Holds what asks first until js/dialogs.js can ask: on a slow line a quick click would delete at once.
(() => {
  function hold(event) {
    const { target, submitter } = event;
    if (!submitter?.dataset.confirm && !target.dataset.confirm) return;
    event.preventDefault();
    document.addEventListener("panel-ready", () => target.requestSubmit(submitter), { once: true });
  }
  document.addEventListener("submit", hold);
  document.addEventListener("panel-ready", () => document.removeEventListener("submit", hold), { once: true });
})();
