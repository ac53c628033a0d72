"""Cleaning makes whole tables of dirty ones: nothing is dropped silently; order and repetition change nothing."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib import schemas
from lib.clean.clean import clean
from lib.clean.texts import clean_text, strip_html
from lib.config import LEVELS, build_dir
from lib.config.base import ENDS_HERE
from lib.exceptions import StudyError
from lib.files import read_json

PATHS = [("Men", "Shoes", "Sneakers"), ("Women", "Shoes", "Flip Flops"), ("Women", "Tops", "T-Shirts")]
NAMES = ["Aurora", "Borealis", "Cassini", "Dione", "Europa", "Fornax", "Gemini", "Hydra"]


def photo(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((60, 80)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def raw():
    """Return 48 products on three paths, and their photos."""
    rows = []
    for number in range(48):
        path, name = PATHS[number % 3], f"{NAMES[number % 8]}{number // 16}"
        text = f"<p>Fine {path[2]} for {path[0]}&#39;s feet,<br/>model {name}</p>"
        row = (f"p{number:03d}", f"brand {number % 4}", f"{name} {number}", text, *path, f"{number:07d}.jpg", "", "")
        rows.append(row)
    columns = ["product_id", "brand", "title", "description", *LEVELS, "image", "part", "model"]
    table = pd.DataFrame(rows, columns=columns, dtype="str")
    return table, {f"{number:07d}.jpg": photo(number) for number in range(48)}


def write(table, photos):
    folder = build_dir("demo", "raw")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / "products.parquet", index=False)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, content in photos.items():
            archive.writestr(name, content)


def cleaned(table, photos):
    """Clean a raw table, and return the summary and what was written."""
    write(table, photos)
    summary = clean("demo")
    return summary, schemas.read_table(build_dir("demo", "clean", "products.parquet"), schemas.CLEAN_PRODUCTS)


def product(products, name):
    return products.set_index("product_id").loc[name]


# The contract


def test_tables_and_taxonomy_are_in_their_form(study, raw):
    summary, products = cleaned(*raw)
    assert (summary.rows_in, summary.rows_out, summary.rejects) == (48, 48, {})
    taxonomy = read_json(build_dir("demo", "clean", "taxonomy.json"))
    assert taxonomy["levels"] == [["Men", "Women"], ["Shoes", "Tops"], ["Flip Flops", "Sneakers", "T-Shirts"]]
    assert taxonomy["paths"] == [[0, 0, 1], [1, 0, 0], [1, 1, 2]]
    for level, names in zip(LEVELS, taxonomy["levels"], strict=True):
        assert [names[code] for code in products[f"{level}_code"]] == products[level].tolist()
    rejects = schemas.read_table(build_dir("demo", "clean", "rejects.parquet"), schemas.REJECTS)
    assert len(rejects) == 0


def test_both_texts_are_clean_and_the_masked_one_names_no_category(study, raw):
    summary, products = cleaned(*raw)
    first = product(products, "p001")
    assert first["text"] == "Fine Flip Flops for Women's feet, model Borealis0"
    assert first["masked_text"] == "Fine for feet, model Borealis0"
    assert summary.texts["markup"] == summary.texts["entities"] == 48
    assert summary.removed_words["women"] == 32


def test_title_is_in_the_text_only_if_the_catalogue_says_so(study, raw):
    path = study / "catalogues/demo.yaml"
    path.write_text(path.read_text().replace("text: [description]", "text: [title, description]"))
    _, products = cleaned(*raw)
    assert product(products, "p001")["text"].startswith("Borealis0 1 Fine Flip Flops")


def test_splits_have_exact_shares_and_keep_groups_together(study, raw):
    _, products = cleaned(*raw)
    assert products["random_split"].value_counts().to_dict() == {"train": 32, "test": 12, "validation": 4}
    assert products["group"].nunique() < 48
    assert products.groupby("group")["grouped_split"].nunique().max() == 1


def test_same_input_gives_the_same_bytes_whatever_the_order_of_rows(study, raw):
    table, photos = raw
    content = []
    for rows in (table, table, table.sample(frac=1, random_state=0)):
        cleaned(rows, photos)
        content.append([path.read_bytes() for path in sorted(build_dir("demo", "clean").iterdir())])
    assert content[0] == content[1] == content[2]


def test_more_of_other_products_move_few_from_one_part_to_another(study, raw):
    table, photos = raw
    before, after = (cleaned(rows, photos)[1] for rows in (table, table.iloc[1:]))
    same = before.iloc[1:]["random_split"].to_numpy() == after["random_split"].to_numpy()
    assert same.sum() >= 44


# Missing and damaged


def test_missing_fields_are_kept_as_empty(study, raw):
    table, photos = raw
    table.loc[0, ["brand", "title", "description", "image"]] = None
    table.loc[1, "description"] = "<p>&nbsp;</p><script>alert(1)</script>"
    table.loc[2, "brand"] = "  Marks &amp; Co "
    summary, products = cleaned(table, photos)
    assert product(products, "p000")[["brand", "text", "masked_text"]].tolist() == ["", "", ""]
    assert pd.isna(product(products, "p000")["image"])
    assert product(products, "p001")["text"] == ""
    assert product(products, "p002")["brand"] == "Marks & Co"
    assert summary.texts["empty"] == 2


def test_text_of_category_words_alone_is_empty_once_masked(study, raw):
    table, photos = raw
    table.loc[0, "description"] = "Men's sneakers - T-Shirt / Shoes"
    summary, products = cleaned(table, photos)
    assert product(products, "p000")["masked_text"] == ""
    assert summary.texts["empty once masked"] == 1


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"not an image"])
def test_damaged_photo_costs_nothing_but_its_hash(study, raw, content):
    table, photos = raw
    _, products = cleaned(table, photos | {"0000000.jpg": content})
    assert len(products) == 48
    assert product(products, "p000")["image"] == "0000000.jpg"


def test_no_photo_and_no_description_at_all(study, raw):
    table, _ = raw
    table[["image", "description", "title", "brand"]] = pd.array([None], dtype="str")[0]
    summary, products = cleaned(table.astype("str").where(table.notna(), None), {})
    assert products["image"].isna().all()
    assert products["group"].nunique() == 48
    assert summary.linked == {"title": 0, "description": 0, "photo": 0, "match": 0}


def test_class_with_one_product_is_kept(study, raw):
    table, photos = raw
    table.loc[0, "level_3"] = "Cufflinks"
    _, products = cleaned(table, photos)
    assert (products["level_3"] == "Cufflinks").sum() == 1


def test_product_without_a_whole_path_is_rejected_with_the_reason(study, raw):
    table, photos = raw
    table.loc[3, ["level_2", "level_3"]] = [None, " "]
    summary, products = cleaned(table, photos)
    assert summary.rejects == {"incomplete path": 1}
    assert "p003" not in set(products["product_id"])
    rejects = pd.read_parquet(build_dir("demo", "clean", "rejects.parquet"))
    assert rejects.iloc[0].tolist() == ["p003", "incomplete path", "level_2, level_3"]


# Every fault of a real catalogue is survived


def test_boilerplate_of_many_brands_stays_in_the_texts_and_links_nothing(study, raw):
    table, photos = raw
    boilerplate = " ".join(f"returns{n} within{n}" for n in range(40))
    table["brand"] = [f"brand {number % 8}" for number in range(48)]
    table["title"], table["description"] = "", boilerplate
    summary, products = cleaned(table, photos)
    assert summary.common_share == 1
    assert products["group"].nunique() == 48
    assert (products["text"] == boilerplate).all()


def test_variants_of_a_product_are_one_group_whatever_their_labels(study, raw):
    table, photos = raw
    variants = [0, 3, 7, 10]
    table.loc[variants, "brand"] = "Acme"
    table.loc[variants, "title"] = ["Acme Red Zephyr XL", "Acme Zephyr, blue, S", "Acme Zephyr 42", "ACME green zephyr"]
    _, products = cleaned(table, photos)
    assert products["group"][variants].nunique() == 1
    assert products["level_3"][variants].nunique() > 1
    assert (products["group"] == products["group"][0]).sum() == len(variants)


def test_path_that_no_other_product_has_is_a_path_of_the_taxonomy(study, raw):
    """No taxonomy is given from outside: it is what the products say, and a misspelled class is a class of its own."""
    table, photos = raw
    table.loc[0, list(LEVELS)] = ["Women", "Tops", "Sneakrs"]
    _, products = cleaned(table, photos)
    taxonomy = read_json(build_dir("demo", "clean", "taxonomy.json"))
    assert "Sneakrs" in taxonomy["levels"][2]
    codes = [int(products[f"{level}_code"][0]) for level in LEVELS]
    assert codes in taxonomy["paths"]
    assert len(taxonomy["paths"]) == 4


def test_placeholder_photo_of_many_brands_links_nothing(study, raw):
    table, photos = raw
    table["brand"] = [f"brand {number % 8}" for number in range(48)]
    table["title"] = table["description"] = ""
    _, products = cleaned(table, {name: photo(0) for name in photos})
    assert products["group"].nunique() == 48


def test_huge_photo_costs_nothing_but_its_hash(study, raw):
    table, photos = raw
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")  # a few kilobytes that would be a hundred million pixels
    _, products = cleaned(table, photos | {"0000000.jpg": file.getvalue()})
    assert product(products, "p000")["image"] == "0000000.jpg"


def test_spellings_of_a_class_are_one_and_what_names_say_is_in_the_summary(study, raw):
    table, photos = raw
    table.loc[:2, "level_2"] = ["SHOES", "shoes", " T o p s"]
    table.loc[3, "level_2"] = "&#83;hoes"
    table.loc[4:5, "brand"] = ["N/A", "unknown"]
    table.loc[6, ["level_3", "title"]] = ["Gemini One", "GEMINI &amp; One"]
    table.loc[9, ["level_3", "title"]] = ["Hydra Two", "HYDRA Two"]
    summary, products = cleaned(table, photos)
    assert set(products["level_2"]) == {"Shoes", "Tops"}
    assert summary.respelled == {
        "level_2: SHOES → Shoes": 1, "level_2: T o p s → Tops": 1, "level_2: shoes → Shoes": 1
    }  # fmt: skip
    assert summary.called_missing == {"brand: N/A": 1, "brand: unknown": 1}
    assert summary.named_like_product == (1, 1)
    assert summary.unseen.keys() == {"random", "grouped"}


def test_a_level_that_paths_do_not_reach_is_a_class_whose_words_stay_in_the_texts(study, raw):
    table, photos = raw
    table.loc[::3, "level_3"] = ENDS_HERE
    table.loc[0, "description"] = "The road ends here, at these T-Shirts"
    _, products = cleaned(table, photos)
    assert read_json(build_dir("demo", "clean", "taxonomy.json"))["levels"][2][0] == "(ends here)"
    assert product(products, "p000")["masked_text"] == "The road ends here, at these"


def test_texts_and_classes_of_other_scripts(study, raw):
    table, photos = raw
    names = {"Sneakers": "スニーカー", "Flip Flops": "サンダル", "T-Shirts": "टोपी"}
    table["level_3"] = table["level_3"].map(names)
    table.loc[0, "description"] = "軽くて丈夫なスニーカーです"
    table.loc[1, "description"] = "मुलायम ऊनी टोपी, टोपीवाला"
    _, products = cleaned(table, photos)
    assert product(products, "p000")["masked_text"] == "軽くて丈夫な です"
    assert product(products, "p001")["masked_text"] == "मुलायम ऊनी, टोपीवाला"


# What fails, and says why


def test_too_many_rejects_fail_the_stage(study, raw):
    table, photos = raw
    table.loc[:5, "level_2"] = None
    write(table, photos)
    with pytest.raises(StudyError, match=r"'demo' has 6 of 48 products .* at most 5\.0% .* found 12\.5%"):
        clean("demo")
    assert not build_dir("demo", "clean").exists()


@pytest.mark.parametrize("rows", [slice(0, 0), slice(0, 1)])
def test_catalogue_without_any_usable_product_fails(study, raw, rows):
    table, photos = raw
    table["level_1"] = None
    write(table.astype("str").where(table.notna(), None).iloc[rows], photos)
    with pytest.raises(StudyError, match=r"without a complete category path.*(found 100\.0%)"):
        clean("demo")


def test_too_few_or_too_alike_products_for_three_parts_fail(study, raw):
    table, photos = raw
    write(table.iloc[:6], photos)
    with pytest.raises(StudyError, match=r"random split .*'demo' has an empty part: 4 train, 0 validation, 2 test"):
        clean("demo")
    table["brand"], table["title"], table["description"], table["image"] = "Acme", "Zephyr", "A fine wind", None
    write(table, photos)
    with pytest.raises(
        StudyError, match=r"grouped split .*48 train, 0 validation, 0 test.*48 products are in 1 groups"
    ):
        clean("demo")


def test_level_with_one_class_fails_and_names_it(study, raw):
    table, photos = raw
    table["level_2"] = "Shoes"
    write(table, photos)
    with pytest.raises(StudyError, match=r"single class \['Shoes'\] in level_2\. Expected two or more"):
        clean("demo")


def test_missing_raw_products_are_one_message(study):
    with pytest.raises(StudyError, match=r"products\.parquet is missing"):
        clean("demo")


def test_failure_leaves_the_former_result_alone(study, raw):
    table, photos = raw
    cleaned(table, photos)
    before = build_dir("demo", "clean", "products.parquet").read_bytes()
    table["level_2"] = "Shoes"
    write(table, photos)
    with pytest.raises(StudyError):
        clean("demo")
    assert build_dir("demo", "clean", "products.parquet").read_bytes() == before
    assert [path.name for path in build_dir("demo").iterdir() if "partial" in path.name] == []


# Texts


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a < b & c > d; AT&T", "a < b & c > d; AT&T"),
        ("<p>one</p><p>two</p>", "one two"),
        ("one<br>two<br/>three<BR />four", "one two three four"),
        ("<ul><li>one<li>two</ul>", "one two"),
        ("<b>bold</b>ly", "boldly"),
        ("T<sup>&reg;</sup>-shirt", "T®-shirt"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("<div><br/></div>", ""),
        ("x<script>alert('y')</script><style>p{}</style><!-- z -->", "x"),
        ("&lt;p&gt;twice&lt;/p&gt; &amp;amp; escaped", "twice & escaped"),
        ("caf&eacute; &#39;n&#x27; bar", "café 'n' bar"),
        ("one&nbsp;two\u2003three\n\tfour", "one two three four"),
        ("sof\u00adt\u200b zero\x00width\ufeff", "soft zero width"),
        ("schÃ¶n, l\u2019eau, â€œquotedâ€\x9d", 'schön, l\'eau, "quoted"'),
        ("<p>unclosed <b>tags <i>everywhere", "unclosed tags everywhere"),
        ("half <a href='x", "half"),
        ("<?xml version='1.0' encoding='latin-1'?><p>é</p>", "é"),
        ("\ud800 lone", "\ufffd lone"),
    ],
)
def test_text_is_what_a_reader_sees_and_cleaning_again_changes_nothing(markup, text):
    assert clean_text(markup) == text
    assert clean_text(text) == text


def test_hostile_markup_ends():
    assert isinstance(strip_html("<div>" * 50_000 + "deep"), str)
    assert isinstance(strip_html("<" * 50_000 + "&" * 50_000), str)
