"""A file of settings is plain data of a usual size; whatever else it is, is said in a few words."""

from itertools import pairwise

import pytest

from lib.config import load_catalogue, read_yaml
from lib.exceptions import StudyError


def bomb(levels: int) -> str:
    """Nine lists of nine lists of nine ...: a few lines that stand for as many values as one likes."""
    names = "abcdefghijklmnop"[: levels + 1]
    lines = [f"{below}: &{below} [{', '.join([f'*{name}'] * 9)}]" for name, below in pairwise(names)]
    return "\n".join(["a: &a [x]", *lines])


HOSTILE = {
    "a tag that calls": (b"title: !!python/object/apply:os.system ['touch pwned']\n", ", line 1: could not determine"),
    "a tag that names": (b"kind: table\ntitle: !!python/name:os.system\n", ", line 2: could not determine a constr"),
    "a tag of its own": (b"title: !mine x\n", ", line 1: could not determine a constructor for the tag '!mine'"),
    "an alias bomb": (bomb(9).encode(), ": with its aliases written out, it holds more than 1,000,000 values"),
    "one below a key": (f"{bomb(8)}\ntitle: *i\n".encode(), ": with its aliases written out"),
    "an alias of itself": (b"title: &x [*x]\n", ": with its aliases written out"),
    "brackets without end": (b"[" * 5000, ": it is nested too deep"),
    "no such day": (b"title: 2020-99-99\n", ": month must be in 1..12"),
    "a NUL": (b"title: a\0b\n", ": unacceptable character #x0000"),
    "a tab": (b"title:\n\tx: y\n", r", line 2: found character '\t' that cannot start any token"),
    "two documents": (b"a: 1\n---\nb: 2\n", ", line 2: but found another document"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_one_short_message(study, kind):
    content, message = HOSTILE[kind]
    path = study / "catalogues/mine.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError) as error:
        load_catalogue("mine")
    assert str(error.value).startswith(f"{path} is not valid YAML{message}")
    assert len(str(error.value)) < len(str(path)) + 200
    assert not list(study.rglob("pwned"))


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [
        ("kind: table\ntitle: Größe\n", "latin-1", "line 2 has the byte 0xf6. It may be Windows-1252 or Latin-1: 'tit"),
        ("title: 10 €\n", "cp1252", "line 1 has the byte 0x80. It may be Windows-1252 or Latin-1: 'title: 10 €'."),
        ("title: Größe\n", "utf-16", "line 1 has the byte 0xff. It may be UTF-16. Save it as UTF-8."),
    ],
)
def test_a_file_in_another_encoding_is_named_with_the_line_and_the_likely_encoding(study, text, encoding, message):
    path = study / "catalogues/mine.yaml"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(StudyError) as error:
        load_catalogue("mine")
    assert str(error.value).startswith(f"{path} is not UTF-8: {message}")


def test_a_mark_that_says_utf_8_and_aliases_of_a_usual_size_are_fine(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + bomb(2).encode())
    assert list(read_yaml(path)) == ["a", "b", "c"]
    path.write_bytes(b"")
    assert read_yaml(path) is None


def test_what_is_wrong_is_quoted_and_listed_up_to_a_length(study):
    path = study / "catalogues/mine.yaml"
    for content in (
        "".join(f"key{number}: 1\n" for number in range(500)),
        f"title: [{'x,' * 500}]",
        f"text: [{'1,' * 99}]",
    ):
        path.write_text(content)
        with pytest.raises(StudyError, match=r"mine\.yaml is wrong") as error:
            load_catalogue("mine")
        assert len(str(error.value)) < 3000
    path.write_text("".join(f"key{number}: 1\n" for number in range(500)))
    with pytest.raises(StudyError, match=r"unknown key 'key0', 'key1', 'key2', 'key3', 'key4' and 495 more; expected"):
        load_catalogue("mine")
