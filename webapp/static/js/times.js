// <time datetime> in words and in the reader's own time zone.
const STEPS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function inWords(moment) {
  const seconds = (moment - Date.now()) / 1000;
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  }
  return seconds > 0 ? "in a moment" : "just now";
}

export function showTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const absolute = "absolute" in element.dataset;
    element.textContent = absolute ? exactly.format(moment) : inWords(moment);
    element.title = absolute ? inWords(moment) : exactly.format(moment);
  }
}
