"""Variants and copies of a product share a group, and boilerplate, placeholders and labels make none."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from lib.clean import duplicates
from lib.clean.duplicates import near_duplicate_groups
from lib.clean.matching import OUTLINE, outline, title_words
from lib.clean.shingles import shingles, signatures, widespread, without_common
from lib.config import load_params
from lib.exceptions import StudyError

PARAMS = load_params().clean
NO_PHOTO = (0, 0, False)
BLANK = np.zeros(OUTLINE**2, np.float16)
WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ale", "ino", "ura", "esk", "oti")]


def prose(seed, count=60):
    """Make a text of its own: the same seed, the same words."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, count))


def product(title="", brand="Acme", description="", photo=NO_PHOTO, model="", outline=BLANK):
    texts = {"title": title, "brand": brand, "description": description, "model": model}
    return {**texts, "photo": photo, "outline": outline}


def groups(*products, **changes):
    return found(*products, **changes).of["group"].tolist()


def found(*products, **changes):
    table = pd.DataFrame(products)
    photos = pd.DataFrame(table.pop("photo").tolist(), columns=["content", "perceptual", "usable"])
    photos = photos.astype({"content": "uint64", "perceptual": "uint64", "usable": "bool"})
    photos["outline"] = table.pop("outline")
    return near_duplicate_groups(table, photos, PARAMS.model_copy(update=changes))


# Titles


def test_colours_sizes_numbers_and_plurals_make_no_other_title_if_it_has_a_name():
    titles = ["Acme Red Aurora Shoes XL", "Acme Navy Blue Aurora Shoe 42", "ACME Aurora Shoes (Pack of 2)"]
    assert groups(*(product(title) for title in titles)) == [0, 0, 0]


def test_another_name_is_another_product():
    assert groups(product("Acme Red Aurora Shoes"), product("Acme Red Borealis Shoes")) == [0, 1]


def test_title_without_a_name_links_word_for_word_only():
    others = [product("Red Shoes", brand) for brand in ("B", "C", "D")]
    found = groups(product("Acme Red Shoes"), product("acme red shoes"), product("Acme Blue Shoes"), *others)
    assert found[:3] == [0, 0, 1]


def test_equal_titles_of_two_brands_are_two_products():
    assert groups(product("Aurora Shoes", "Acme"), product("Aurora Shoes", "Apex")) == [0, 1]


@pytest.mark.parametrize("title", ["", "Acme", "Acme Red XL 42", "!"])
def test_title_of_which_nothing_is_left_links_nothing_else(title):
    assert groups(product(title), product("Acme Blue S 40")) == [0, 1]


def test_missing_titles_link_nothing():
    assert groups(product(), product()) == [0, 1]


def test_title_words_are_in_no_order():
    assert title_words("White Striped Polo", "") == title_words("Polo, striped, white", "")


# Descriptions


def test_nearly_equal_descriptions_of_a_brand_link():
    text = prose(1)
    assert groups(product("A", description=text), product("B", description=text + " und so weiter")) == [0, 0]


def test_descriptions_that_differ_link_nothing():
    assert groups(product("A", description=prose(1)), product("B", description=prose(2))) == [0, 1]


def test_equal_descriptions_of_two_brands_link_nothing():
    assert groups(product("A", "Acme", prose(1)), product("B", "Apex", prose(1))) == [0, 1]


def test_short_descriptions_link_nothing():
    assert groups(product("A", description="Style note"), product("B", description="Style note")) == [0, 1]


def test_care_instructions_that_many_brands_share_link_nothing():
    care = prose(7, 40)
    shops = [product(f"title {brand}", brand, care) for brand in ("B", "C", "D", "E")]
    assert groups(product("X", description=care), product("Y", description=care), *shops) == [0, 1, 2, 3, 4, 5]


def test_care_instructions_do_not_keep_copies_apart_or_make_them():
    care = prose(7, 200)
    shops = [product(f"title {brand}", brand, care) for brand in ("B", "C", "D", "E")]
    same = [product(name, description=f"{prose(1, 30)} {care}") for name in ("X", "Y")]
    other = product("Z", description=f"{prose(2, 30)} {care}")
    assert groups(*same, other, *shops)[:3] == [0, 0, 1]


def test_large_bucket_of_equal_descriptions_is_one_loose_group_and_a_line():
    rows = [product(f"t{row}", description=prose(1)) for row in range(3 * duplicates.WINDOW)]
    made = found(*rows).of
    assert set(made["loose_group"]) == {0}
    assert made["group"].nunique() == len(rows)


# Photos


def test_equal_photos_link_two_brands():
    photo = (5, 5, True)
    assert groups(product("A", "Acme", photo=photo), product("B", "Apex", photo=photo)) == [0, 0]


def test_photos_that_look_equal_link_within_a_brand_only():
    rows = [product("A", "Acme", photo=(1, 9, True)), product("B", "Acme", photo=(2, 9, True))]
    assert groups(*rows, product("C", "Apex", photo=(3, 9, True))) == [0, 0, 1]


def test_placeholder_that_many_brands_show_links_nothing():
    rows = [product(f"t{brand}", brand, photo=(5, 5, True)) for brand in "ABCDE"]
    assert groups(*rows, product("again", "A", photo=(5, 5, True))) == [0, 1, 2, 3, 4, 5]


def test_products_without_a_usable_photo_are_not_linked_by_that():
    assert groups(product("A"), product("B")) == [0, 1]


@pytest.mark.parametrize(("distance", "expected"), [(0, [0, 1, 2]), (2, [0, 0, 1]), (5, [0, 0, 0])])
def test_photo_distance_is_in_bits(distance, expected):
    shown = [0b0, 0b11 << 40, 0b11111 << 20]
    rows = [product(f"t{row}", photo=(row, bits, True)) for row, bits in enumerate(shown)]
    assert groups(*rows, photo_distance=distance) == expected


# Limits


def test_name_under_a_few_of_very_many_brands_is_still_a_name():
    """A name that four brands use by chance is common among ten brands, and not among a thousand."""
    variants = [product("Red Aurora"), product("Blue Aurora"), *(product("Aurora", brand) for brand in "BCD")]
    few = groups(*variants)
    many = groups(*variants, *(product(f"name{brand}", f"brand {brand}") for brand in range(1000)))
    assert few[:2] == [0, 1]
    assert many[:2] == [0, 0]


# Groups


def test_duplicate_of_a_duplicate_is_in_the_group():
    first = product("Aurora", description=prose(1))
    second = product("Borealis", description=prose(1), photo=(5, 5, True))
    third = product("Cassini", "Other", photo=(5, 5, True))
    assert groups(third, first, product("Alone"), second) == [0, 0, 1, 0]


def test_order_of_rows_changes_no_group():
    rows = [product(f"name{row // 2} shoe", description=prose(row // 3)) for row in range(30)]
    order = np.random.default_rng(0).permutation(30)
    there, here = groups(*rows), np.array(groups(*(rows[row] for row in order)))
    back = here[np.argsort(order)]
    assert (np.equal.outer(there, there) == np.equal.outer(back, back)).all()


def test_groups_report_what_made_them():
    made = found(product("Aurora"), product("Aurora"), product("B"))
    assert made.linked == {"title": 2, "description": 0, "photo": 0, "match": 0}
    assert made.unspecific == 3


# Models and lines


def drawn(seed):
    pixels = np.kron(np.random.default_rng(seed).integers(0, 255, (8, 8)), np.ones((4, 4)))
    return outline(pixels)


SEEN = [(seed, seed, True) for seed in range(1, 100)]


def line(count=9):
    text = prose(1)
    return [product(f"Acme Polo {n}", description=text, photo=SEEN[n], outline=drawn(n)) for n in range(count)]


def test_line_of_products_is_cut():
    made = found(*line()).of
    assert made["loose_group"].nunique() == 1
    assert made["group"].nunique() == 9


@pytest.mark.parametrize("seen", [lambda kind: kind, lambda kind: kind.reshape(OUTLINE, OUTLINE)[:, ::-1].ravel()])
def test_colours_of_a_model_stay_one_group_in_a_line_however_the_photo_is_turned(seen):
    others = [product(f"thing{n}", description=prose(2 + n)) for n in range(60)]
    colours = [
        product(f"Aurora Vega {colour} Polo", description=prose(1), photo=SEEN[20 + n], outline=outline_of(n))
        for n, (colour, outline_of) in enumerate(
            {"Red": lambda n: drawn(50), "Blue": lambda n: seen(drawn(50))}.items()
        )
    ]
    made = found(*colours, *line(), *others).of
    assert made["loose_group"].iloc[:11].nunique() == 1
    assert made["group"].iloc[0] == made["group"].iloc[1]
    assert made["group"].iloc[:11].nunique() == 10


def test_style_numbers_that_differ_in_letters_alone_are_one_model():
    names = ["red thing", "blue item"]
    codes = [product(name, description=prose(n), model=f"CLL-2079 {name[:3]}") for n, name in enumerate(names)]
    others = [product("x y", model="CLL-2112 red"), product("y z", model="BLOCK-red"), product("z", model="BLOCK-blue")]
    assert groups(*codes, *others) == [0, 0, 1, 2, 3]


def test_brands_share_no_model():
    assert groups(product("a", "Acme", model="123456 red"), product("b", "Apex", model="123456 blue")) == [0, 1]


def test_photo_that_is_the_same_is_the_same_product_in_a_line_too():
    made = groups(*line(), product("Acme Thing", description=prose(1), photo=SEEN[3], outline=drawn(3)))
    assert made[3] == made[9]


# Shingles


def test_shingles_do_not_reach_across_rows():
    assert np.diff(shingles(["a b", "c d", "", "a b c"]).indptr).tolist() == [0, 0, 0, 1]


def test_signatures_estimate_the_jaccard_similarity():
    sets = shingles([prose(1, 400), prose(1, 200)])
    parts = [set(row.indices.tolist()) for row in sets]
    one, other = signatures(sets, np.array([0, 1]), 512)
    assert (one == other).mean() == pytest.approx(len(parts[0] & parts[1]) / len(parts[0] | parts[1]), abs=0.07)


def test_common_shingles_are_left_out_and_their_share_is_told():
    sets = shingles(["one two three four", "one two three", "one  two three"])
    rest, share = without_common(sets, np.array([0, 1, 2]), limit=2)
    assert (np.diff(rest.indptr).tolist(), share) == ([1, 0, 0], 0.75)
    assert rest.indices.tolist() == shingles(["two three four"]).indices.tolist()


def test_nothing_is_widespread_where_there_is_nothing():
    assert widespread(np.zeros(0, np.uint64), np.zeros(0, np.int64), 3).tolist() == []


# Photo hashes


def picture(seed, kind="PNG", size=(60, 80)):
    """Draw a photo that no other seed draws."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for x, y in np.random.default_rng(seed).integers(0, 60, (6, 2)):
        draw.rectangle((int(x), int(y), int(x) + 18, int(y) + 12), fill=(int(x) * 4, int(y) * 4, 90))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def hashes(tmp_path, files, names):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return duplicates.photo_hashes(tmp_path / "photos.zip", names)


def test_photos_are_hashed_by_content_and_by_what_they_show(tmp_path):
    files = {"a.jpg": picture(1), "b.jpg": picture(1), "c.jpg": picture(1, "BMP"), "d.jpg": picture(2)}
    found = hashes(tmp_path, files, list(files))
    assert found["usable"].all()
    assert found["content"].nunique() == 3
    assert found["perceptual"].iloc[0] == found["perceptual"].iloc[2]
    assert found["perceptual"].nunique() == 2


def test_photos_that_show_nothing_have_no_hash(tmp_path):
    blank = io.BytesIO()
    Image.new("RGB", (60, 80), "white").save(blank, "PNG")
    files = {
        "good.jpg": picture(1),
        "truncated.jpg": picture(1, "JPEG")[:400],
        "empty.jpg": b"",
        "text.jpg": b"<html>404</html>",
        "blank.jpg": blank.getvalue(),
    }
    found = hashes(tmp_path, files, [*files, None, float("nan"), "not there.jpg"])
    assert found["usable"].tolist() == [True] + [False] * 7


@pytest.mark.slow
def test_workers_find_the_same(tmp_path, monkeypatch):
    files = {f"{seed}.jpg": picture(seed) for seed in range(6)}
    alone = hashes(tmp_path, files, list(files))
    monkeypatch.setattr(duplicates, "WORKERS_FROM", 1)
    monkeypatch.setattr(duplicates, "CHUNK", 2)
    again = hashes(tmp_path, files, list(files))
    pd.testing.assert_frame_equal(again.drop(columns="outline"), alone.drop(columns="outline"))
    assert all(map(np.array_equal, again["outline"], alone["outline"]))


def test_no_photo_at_all(tmp_path):
    assert hashes(tmp_path, {}, [None, None])["usable"].tolist() == [False, False]


def test_damaged_archive_is_one_message(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(StudyError, match=r"photos\.zip is not a whole ZIP archive"):
        duplicates.photo_hashes(tmp_path / "photos.zip", [None])


# Few brands, or none


def trade(brand, rows=200):
    """Make products of a shop: eight kinds, in colours, each with a sentence of its own and the shop's boilerplate."""
    rng = np.random.default_rng(3)
    kinds, colours = (
        ["Lamp", "Rug", "Vase", "Clock", "Stool", "Bowl", "Frame", "Tray"],
        ["Red", "Blue", "Green", "Grey"],
    )
    return [
        product(
            f"{rng.choice(colours)} {rng.choice(kinds)} {number}",
            brand(number),
            f"{prose(100 + number, 14)}. Sent within three days of your order, in a box that you may send back to us.",
        )
        for number in range(rows)
    ]  # fmt: skip


BRANDS = ["Acme"] * 20 + ["", "Apex"]


@pytest.mark.parametrize("brand", [lambda _: "Acme", lambda _: "", lambda number: BRANDS[number % len(BRANDS)]])
def test_with_few_brands_words_of_the_trade_make_no_group(brand):
    assert len(set(groups(*trade(brand)))) == 200


def test_with_few_brands_variants_of_a_product_are_still_one_group():
    text = prose(7, 30)
    same = [product(f"{colour} Orla Lamp", "Acme") for colour in ("Red", "Blue", "Green")]
    same += [product(f"Thing {n}", "Acme", text + " in sizes") for n in ("one", "two")]
    many = [product(f"Berta Rug {size}", "Acme", prose(8)) for size in range(40)]
    found = groups(*same, *many, *trade(lambda _: "Acme"))
    assert found[:45] == [0, 0, 0, 1, 1, *[2] * 40]
    assert len(set(found)) == 203


def test_with_few_brands_a_placeholder_photo_of_many_products_links_nothing():
    placeholder, own = (1, 1, True), (2, 2, True)
    found = groups(
        *(product(f"{n}x", photo=placeholder) for n in range(11)), product("A", photo=own), product("B", photo=own)
    )
    assert found == [*range(11), 11, 11]


def test_with_four_even_brands_brands_say_what_is_common():
    found = groups(*(product(f"{colour} Lamp", f"brand {n % 4}") for n, colour in enumerate(["Red", "Blue"] * 8)))
    assert len(set(found)) == 4  # word for word: each brand has one colour
