// The panel's one script. Everything is asked for by data attributes; webapp/admin/theme lists them.
import { setUpAppearance } from "./js/appearance.js";
import { setUpCopying } from "./js/copying.js";
import { setUpDialogs } from "./js/dialogs.js";
import { setUpLists } from "./js/lists.js";
import { setUpPasswords } from "./js/passwords.js";
import { setUpPolling } from "./js/polling.js";
import { setUpPreviews } from "./js/previews.js";
import { showTimes } from "./js/times.js";

setUpAppearance();
setUpCopying();
setUpDialogs();
setUpLists();
setUpPasswords();
setUpPolling();
setUpPreviews();
showTimes(document);
document.dispatchEvent(new Event("panel-ready"));
setInterval(() => showTimes(document), 30_000);

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-autosubmit]")) event.target.form.requestSubmit();
});
