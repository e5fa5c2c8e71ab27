// The switch between light, dark and what the system says.
const KEY = "postlatch-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try {
    return localStorage.getItem(KEY) || "auto";
  } catch {
    return "auto";
  }
}

function apply() {
  const choice = chosen();
  const dark = choice === "dark" || (choice === "auto" && system.matches);
  document.documentElement.setAttribute("data-bs-theme", dark ? "dark" : "light");
  for (const button of document.querySelectorAll("[data-theme-set]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeSet === choice));
  }
}

export function setUpAppearance() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-set]");
    if (!button) return;
    event.stopPropagation(); // the menu stays open to show what is chosen
    try {
      localStorage.setItem(KEY, button.dataset.themeSet);
    } catch {
      return;
    }
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}
