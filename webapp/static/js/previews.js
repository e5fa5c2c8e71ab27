// A field whose effect is shown while it is edited: its form is sent to data-preview-url, and the answer put into
// the element that data-preview names. Nothing is saved by it.
import { showTimes } from "./times.js";

const PAUSE = 300; // milliseconds without typing
let waiting;
let asking;

async function show(field) {
  asking?.abort();
  asking = new AbortController();
  const answer = await fetch(field.dataset.previewUrl, {
    method: "POST",
    body: new FormData(field.form),
    headers: { "X-Requested-With": "fetch" },
    signal: asking.signal,
  });
  const place = document.querySelector(field.dataset.preview);
  if (!answer.ok || answer.redirected || !place) return;
  place.innerHTML = await answer.text(); // our own server's; the policy runs no script in it
  showTimes(place);
}

export function setUpPreviews() {
  document.addEventListener("input", (event) => {
    const field = event.target.closest("[data-preview-url]");
    if (!field) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => show(field).catch(() => {}), PAUSE); // it is shown again when the form is sent
  });
}
