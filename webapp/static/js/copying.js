// Copy buttons, spoken by a live region, and the buttons that show and hide a secret.
export function say(text) {
  const region = document.getElementById("live-region");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

async function copy(text, near) {
  if (navigator.clipboard && isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Over plain http the browser has no clipboard for scripts; the old way needs a field in reach of the focus,
  // which inside an open dialog means inside the dialog.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  (near.closest("dialog") || document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  near.focus();
  if (!done) throw new Error("refused");
}

async function onCopy(button) {
  const target = button.dataset.copyTarget && document.querySelector(button.dataset.copyTarget);
  const text = button.dataset.copy ?? (target.value ?? target.textContent);
  try {
    await copy(text, button);
  } catch {
    say("Copying did not work. Select the text and copy it yourself.");
    if (target?.select) target.select();
    return;
  }
  say("Copied.");
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 2000);
}

function onReveal(button) {
  const field = document.querySelector(button.dataset.reveal);
  const shown = field.type === "password";
  field.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
  button.classList.toggle("shown", shown);
}

export function setUpCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-target], [data-reveal]");
    if (!button) return;
    event.preventDefault();
    if ("reveal" in button.dataset) onReveal(button);
    else onCopy(button);
  });
}
