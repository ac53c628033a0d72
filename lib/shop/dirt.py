"""What is wrong with the shop's products, and how often: damage in known places and amounts."""

import numpy as np

from lib.shop.streams import pick

RATES = {
    "wrong_label": 0.015,
    "no_brand": 0.012,
    "no_description": 0.01,
    "no_photo": 0.01,
    "placeholder_photo": 0.01,
    "truncated_photo": 0.006,
    "empty_photo": 0.004,
    "not_a_photo": 0.004,
    "no_path": 0.004,
    "no_level_2": 0.004,
    "repeated_id": 0.004,
}
"""Share of the products that have each kind of damage. Of one of the `EXCLUSIVE` sets a product has one at most."""

EXCLUSIVE = (
    ("wrong_label", "no_path", "no_level_2"),
    ("no_photo", "placeholder_photo", "truncated_photo", "empty_photo", "not_a_photo"),
    ("no_brand",),
    ("no_description",),
    ("repeated_id",),
)

BROKEN_PHOTOS = frozenset({"truncated_photo", "empty_photo", "not_a_photo"})
"""Damage that leaves bytes which do not decode."""

TYPING_ERRORS = 0.008
"""Share of a description's words with a typing error."""

NOT_A_PHOTO = b"<!DOCTYPE html><html><head><title>404</title></head><body>The page was not found.</body></html>\n"

_MOJIBAKE = str.maketrans({"'": "\u00e2\u20ac\u2122", "é": "Ã©", "–": "\u00e2\u20ac\u201c", "©": "Â©"})
_ENTITIES = str.maketrans({"&": "&amp;", "'": "&#39;", "é": "&eacute;", "–": "&ndash;", "©": "&copy;"})
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;"})
_STYLE = "<style>.details{margin:0}</style>"


def draw_damage(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw what is wrong with one product."""
    found = []
    for kinds in EXCLUSIVE:
        chance = rng.random()
        for kind in kinds:
            chance -= RATES[kind]
            if chance < 0:
                found.append(kind)
                break
    return tuple(found)


def damaged_photo(photo: bytes, damage: tuple[str, ...], placeholder: bytes, rng: np.random.Generator) -> bytes | None:
    """Return what is left of a photo."""
    if "no_photo" in damage:
        return None
    if "placeholder_photo" in damage:
        return placeholder
    if "empty_photo" in damage:
        return b""
    if "not_a_photo" in damage:
        return NOT_A_PHOTO
    if "truncated_photo" in damage:
        return photo[: int(len(photo) * (0.3 + 0.4 * rng.random()))]
    return photo


def mistype(rng: np.random.Generator, text: str) -> str:
    """Put typing errors into a text: a letter lost, doubled, or swapped with the next. Slots in braces stay."""
    words = text.split(" ")
    for _ in range(int(len(words) * TYPING_ERRORS * 2 * rng.random() + rng.random())):
        at = int(rng.random() * len(words))
        word = words[at]
        if len(word) > 3 and word.isalpha():
            i, kind = 1 + int(rng.random() * (len(word) - 2)), int(rng.random() * 3)
            words[at] = word[:i] + ("", word[i] * 2, word[i + 1] + word[i])[kind] + word[i + (2 if kind == 2 else 1) :]
    return " ".join(words)


def mark_up(rng: np.random.Generator, sentences: list[str]) -> str:
    """Write a description as a shop would have it: plain, as HTML in some style, or with a broken encoding."""
    kind = rng.random()
    if kind < 0.3:
        return " ".join(sentences)
    if kind < 0.36:
        return " ".join(sentences).translate(_MOJIBAKE)
    escaped = [sentence.translate(_ENTITIES) for sentence in sentences]
    first, rest = escaped[0], escaped[1:]
    if kind < 0.55:
        html = f"<p>{first}</p>\n<p>{' '.join(rest)}</p>"
    elif kind < 0.75:
        html = f"<p><b>{first}</b></p><ul>{''.join(f'<li>{sentence}</li>' for sentence in rest)}</ul>"
    elif kind < 0.95:
        html = f'<div class="details">{"<br />".join(escaped)}</div>'
    else:
        html = _STYLE + "&nbsp;".join(escaped) + "<!-- end -->"
    return html.translate(_ESCAPED) if kind > 0.985 else html


def blank(rng: np.random.Generator) -> str | None:
    """Return a missing text as shops have it."""
    return pick(rng, (None, "", " "))
