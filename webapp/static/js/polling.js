// Elements that bring themselves up to date until the answer says that it is done.
import { showTimes } from "./times.js";

async function refresh(element) {
  if (document.hidden) return false;
  const answer = await fetch(element.dataset.pollUrl, { headers: { "X-Requested-With": "fetch" } });
  if (answer.status === 204 || answer.redirected) return true;
  if (!answer.ok) return false;
  element.innerHTML = await answer.text();
  showTimes(element);
  return element.querySelector("[data-poll-done]") !== null;
}

export function setUpPolling() {
  for (const element of document.querySelectorAll("[data-poll-url]")) {
    const seconds = Number(element.dataset.pollSeconds) || 3;
    const timer = setInterval(async () => {
      if (await refresh(element).catch(() => false)) clearInterval(timer);
    }, seconds * 1000);
  }
}
