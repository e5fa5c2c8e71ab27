"""The password rule, and passwords that meet it."""

from __future__ import annotations

import secrets
import unicodedata

SHORTEST, LONGEST = 8, 128
GENERATED_LENGTH = 20
#: Without 0, O, 1, l, I and their like, so that a password survives being read from a screen.
_LETTERS_AND_DIGITS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_SPECIAL = "-!"

#: What a form lists and ticks off while somebody types.
RULES = (
    ("length", f"At least {SHORTEST} characters"),
    ("capital", "At least one capital letter"),
    ("special", "At least one special character, such as ! - ? or %"),
)


def password_problems(password: str) -> list[str]:
    """What keeps *password* from being used, a sentence each; empty when it may be. Nothing is trimmed.

    8 to 128 code points, at least one capital (Unicode Lu) and one special character: neither letter, digit, white
    space nor control. Control characters are refused, as is half of a surrogate pair.
    """
    problems = []
    if len(password) < SHORTEST:
        problems.append(f"The password needs at least {SHORTEST} characters.")
    if len(password) > LONGEST:
        problems.append(f"The password may have at most {LONGEST} characters.")
    if not any(unicodedata.category(c) == "Lu" for c in password):
        problems.append("The password needs at least one capital letter.")
    if not any(_is_special(c) for c in password):
        problems.append("The password needs at least one special character, such as ! - ? or %.")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in password):
        problems.append("The password may not contain control characters.")
    return problems


def generate_password() -> str:
    """A password of 20 characters, some 117 bits: letters, digits, ``-`` and ``!``, without look-alikes."""
    while True:
        password = "".join(secrets.choice(_LETTERS_AND_DIGITS + _SPECIAL) for _ in range(GENERATED_LENGTH))
        # Some programs take a leading dash for an option, and an exclamation mark for a shell's history.
        if password[0] not in _SPECIAL and not password_problems(password):
            return password


def _is_special(character: str) -> bool:
    # What Unicode had not assigned when this Python was made counts: it is a new emoji, as a rule.
    category = unicodedata.category(character)
    return category[0] not in "LNZ" and category not in {"Cc", "Cf", "Cs"} and not character.isspace()
