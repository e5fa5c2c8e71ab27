// Questions before what can't be undone, and dialogs whose content is fetched.
import { preparePasswords } from "./passwords.js";
import { showTimes } from "./times.js";

const FETCHED = { "X-Requested-With": "fetch" };
let modalUrl = "";

function confirmFirst(form, submitter, asking) {
  const dialog = document.getElementById("confirm-dialog");
  const accept = document.getElementById("confirm-accept");
  document.getElementById("confirm-title").textContent = asking.confirmTitle || "Are you sure?";
  document.getElementById("confirm-text").textContent = asking.confirm;
  accept.textContent = asking.confirmButton || "Continue";
  accept.className = `btn btn-${asking.confirmTone === "danger" ? "danger" : "primary"}`;
  accept.onclick = () => {
    dialog.close();
    form.dataset.confirmed = "yes";
    form.requestSubmit(submitter);
  };
  dialog.showModal();
}

function onSubmit(event) {
  const form = event.target;
  const submitter = event.submitter;
  const asking = submitter?.dataset.confirm ? submitter.dataset : form.dataset;
  if (asking.confirm && !form.dataset.confirmed) {
    event.preventDefault();
    confirmFirst(form, submitter, asking);
    return;
  }
  delete form.dataset.confirmed;
  if (form.closest("#modal-dialog")) {
    event.preventDefault();
    sendFromModal(form, submitter);
  } else if (form.method === "post") {
    lockWhileSending(form);
  }
}

// A second click must not create a second key.
function lockWhileSending(form) {
  setTimeout(() => {
    for (const button of form.querySelectorAll("[type=submit]")) button.disabled = true;
  });
}

async function openModal(url) {
  modalUrl = url;
  const answer = await fetch(url, { headers: FETCHED });
  if (answer.redirected) return location.assign(answer.url);
  fill(await answer.text());
  const dialog = document.getElementById("modal-dialog");
  if (!dialog.open) dialog.showModal();
}

async function sendFromModal(form, submitter) {
  const body = new FormData(form, submitter);
  const answer = await fetch(form.getAttribute("action") || modalUrl, { method: "POST", body, headers: FETCHED });
  if (answer.redirected) return location.reload();
  if ((answer.headers.get("Content-Type") || "").includes("application/json")) {
    const said = await answer.json();
    return said.redirect ? location.assign(said.redirect) : location.reload();
  }
  fill(await answer.text());
}

function fill(html) {
  const content = document.getElementById("modal-content");
  content.innerHTML = html; // our own server's; the policy runs no script in it
  preparePasswords(content);
  showTimes(content);
  const wrong = content.querySelector("[aria-invalid=true], [autofocus]");
  (wrong || content.querySelector("textarea, input:not([type=hidden]), select, button"))?.focus();
}

export function setUpDialogs() {
  document.addEventListener("submit", onSubmit);
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-modal-url]");
    if (opener) {
      event.preventDefault();
      openModal(opener.dataset.modalUrl);
    } else if (event.target.closest("[data-close]") || event.target.matches("dialog.pl-dialog")) {
      event.target.closest("dialog").close(); // the backdrop counts as the dialog itself
    }
  });
  // A page from the browser's memory must not have dead buttons.
  addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("[type=submit]:disabled")) button.disabled = false;
  });
}
