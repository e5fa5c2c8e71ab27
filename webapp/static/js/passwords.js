// The password rule, ticked off while somebody types, and passwords made here. The server enforces it again.
const RULES = {
  length: (characters) => characters.length >= 8 && characters.length <= 128,
  capital: (characters) => characters.some((c) => /\p{Lu}/u.test(c)),
  special: (characters) => characters.some((c) => /[^\p{L}\p{N}\p{Z}\p{Cc}\p{Cf}\p{Cs}\s]/u.test(c)),
  printable: (characters) => !characters.some((c) => /[\p{Cc}\p{Cs}]/u.test(c)),
};
// Without 0, O, 1, l, I and their like.
const ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-!";
const LENGTH = 20;

function tick(field) {
  const list = document.getElementById(field.dataset.passwordRules);
  if (!list) return;
  const characters = [...field.value]; // code points
  for (const item of list.querySelectorAll("[data-rule]")) {
    const met = characters.length > 0 && RULES[item.dataset.rule](characters);
    item.classList.toggle("met", met);
    item.querySelector("[data-rule-state]").textContent = met ? " (met)" : " (not yet)";
  }
}

function randomBelow(limit) {
  // Values beyond the last whole multiple would make some characters likelier than others.
  const most = Math.floor(2 ** 32 / limit) * limit;
  const drawn = new Uint32Array(1);
  do crypto.getRandomValues(drawn);
  while (drawn[0] >= most);
  return drawn[0] % limit;
}

function generate() {
  for (;;) {
    const made = Array.from({ length: LENGTH }, () => ALPHABET[randomBelow(ALPHABET.length)]);
    const meets = Object.values(RULES).every((rule) => rule(made));
    if (meets && !"-!".includes(made[0])) return made.join("");
  }
}

export function preparePasswords(root) {
  for (const field of root.querySelectorAll("[data-password-rules]")) tick(field);
}

export function setUpPasswords() {
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-password-rules]")) tick(event.target);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-generate-password]");
    if (!button) return;
    const field = document.querySelector(button.dataset.generatePassword);
    field.value = generate();
    field.type = "text";
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
  preparePasswords(document);
}
