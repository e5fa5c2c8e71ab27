// Elements that bring themselves up to date until the answer says that it is done. It may also say in how many seconds
// to ask again.
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

function poll(element) {
  const again = element.querySelector("[data-poll-again]")?.dataset.pollAgain;
  const seconds = Number(again ?? element.dataset.pollSeconds) || 3;
  setTimeout(async () => {
    if (!(await refresh(element).catch(() => false))) poll(element);
  }, seconds * 1000);
}

export function setUpPolling() {
  for (const element of document.querySelectorAll("[data-poll-url]")) poll(element);
}
