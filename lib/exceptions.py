"""The one error that a user is meant to read."""

import difflib
from collections.abc import Iterable


class StudyError(Exception):
    """Something the user can mend. Its text says what, where and what was expected."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Name the valid choice closest to `word`, whatever its case, as the end of a message.

    >>> nearest("brand_txt", ["brand_text", "brand_image"])
    " Did you mean 'brand_text'?"
    >>> nearest("zzz", ["brand_text"])
    ''
    """
    spelt = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(word.casefold(), list(spelt), n=1)
    return f" Did you mean '{spelt[close[0]]}'?" if close else ""
