"""From a row to a product: every form in which exports write categories, texts and photos; clear words for others."""

import json
from collections import Counter

import pytest
from made_table import ROWS, Mine, as_lines, as_parquet

from lib.collect.cells import first_address, is_known, opened, text_of
from lib.collect.mapping import Columns, Product, TableMapping, to_product
from lib.collect.paths import CategoryRule, load_ids
from lib.collect.rows import Row
from lib.config.base import CATEGORY_ID, INVALID, MISSING_ID, REPEATED_ID, SHALLOW
from lib.exceptions import StudyError

LEVELS = ["level_1", "level_2", "level_3"]
GARDEN = ["Garden & Patio", "Tools", "Spades"]


@pytest.fixture
def mine(study) -> Mine:
    mine = Mine(study)
    del mine.section["images"], mine.section["columns"]["image"]
    mine.section["categories"] = {}
    return mine


def rows(*changes: dict) -> list[dict]:
    """Return rows, the first of them with other fields."""
    return [row | change for row, change in zip(ROWS, [*changes, *[{}] * len(ROWS)], strict=False)]


def mapped(values: dict, **keys: object) -> tuple:
    """Map a row whose columns are called as the fields are; return the product and what was noticed."""
    columns = {"id": "id", "category": "category"} | {name: name for name in ("brand", "title", "description", "image")}
    mapping = TableMapping.model_validate({"columns": columns} | keys)
    notices = Counter()
    found = to_product(Row("line 2", {"id": "1"} | values), mapping, {}, notices)
    return found, {text: count for text, count in notices.items() if count}


def path_of(cell: object, title: str = "Spade no. 4", **rule: object) -> list[str | None]:
    """Return the names of a cell's path, however many."""
    found, _ = mapped({"category": cell, "title": title}, categories=rule)
    assert isinstance(found, Product), found
    return list(found.record.origin.names)


# Category paths


@pytest.mark.parametrize(
    "cell",
    [
        "Garden & Patio > Tools > Spades",
        "Garden & Patio>Tools>Spades",
        "Garden &amp; Patio &gt; Tools &gt; Spades",
        "Garden &amp;amp; Patio &amp;gt; Tools &#62; Spades",
        " > Garden & Patio >  Tools >\u00a0Spades > ",
        "Garden & Patio >> Tools >> Spades",
        "<![CDATA[Garden & Patio > Tools > Spades]]>",
        '["Garden & Patio", "Tools", "Spades"]',
        "['Garden & Patio', 'Tools', 'Spades']",
        "['Garden & Patio', 'Tools', 'Spades', nan, None]",
        "['Garden & Patio' 'Tools'\n 'Spades']",
        "('Garden & Patio', 'Tools', 'Spades')",
        "[&quot;Garden &amp;amp; Patio&quot;, &quot;Tools&quot;, &quot;Spades&quot;]",
        '<![CDATA[["Garden &amp; Patio", "Tools", "Spades"]]]>',
        '["Garden &amp; Patio > Tools > Spades"]',
        "[['Garden & Patio', 'Tools', 'Spades'], ['Sale']]",
        '[["Garden & Patio > Tools > Spades"]]',
        '["Garden & Patio > Tools > Spades", "Sale"]',
        '[{"id": "g1", "name": "Garden & Patio"}, {"id": "g7", "name": "Tools"}, {"id": "g8", "name": "Spades"}]',
        '[{"node_id": 5, "node_name": "Garden & Patio > Tools > Spades"}]',
        GARDEN,
        [*GARDEN, None, " "],
        [GARDEN, ["Sale"]],
        [[], GARDEN],
        [{"categoryId": "g1", "name": "Garden & Patio", "url": "https://x/g"}, {"name": "Tools"}, {"name": "Spades"}],
        [{"value": "Garden & Patio > Tools > Spades", "language_tag": "en_US"}],
        {"id": "g8", "name": "Garden & Patio > Tools > Spades"},
    ],
)
def test_a_path_in_any_form_is_its_names(cell):
    assert path_of(cell) == GARDEN


@pytest.mark.parametrize(
    "cell", [None, "", "  ", "[]", "[[]]", "['']", "[None]", [], [[]], [""], "nan", "N/A", " - ", ">", {}]
)
def test_nothing_is_no_category(cell):
    assert path_of(cell, shallower="ends_here") == []


@pytest.mark.parametrize(
    ("separator", "cell"),
    [
        ("›", "Garden & Patio › Tools › Spades"),
        (" › ", "Garden & Patio›Tools  ›  Spades ›"),
        ("/", "/Garden & Patio/Tools / Spades/"),
        (" / ", "Garden & Patio / Tools / Spades /"),
        ("&gt;", "Garden & Patio > Tools > Spades"),
        ("|", "Garden & Patio|Tools|Spades"),
        ("::", "Garden & Patio::Tools::Spades"),
        ("\\", "Garden & Patio\\Tools\\Spades"),
        (".", "Garden & Patio.Tools.Spades"),
        (" - ", "Garden & Patio - Tools - Spades"),
        ("»", "Garden &amp; Patio &raquo; Tools &raquo; Spades"),
    ],
)
def test_a_separator_with_odd_blanks(separator, cell):
    assert path_of(cell, separator=separator) == GARDEN


def test_a_mark_within_a_name_parts_nothing():
    assert path_of("TV/Video / Hi-Fi / Cables", separator=" / ") == ["TV/Video", "Hi-Fi", "Cables"]
    assert path_of(r"Scents\, Soaps > Men, Scents > X", between=",") == ["Scents, Soaps", "Men"]
    assert path_of(r"Clothes/Tops\/T-Shirts/Men", separator="/") == ["Clothes", "Tops/T-Shirts", "Men"]
    assert path_of(r"Body > Scents\, Soaps & More > Men") == ["Body", "Scents, Soaps & More", "Men"]
    assert path_of("[Sale] Shirts > Men > New [A]") == ["[Sale] Shirts", "Men", "New [A]"]
    assert path_of("3-Piece Suits > 3 - 5 years > 24: x", leading_ids=False) == [
        "3-Piece Suits",
        "3 - 5 years",
        "24: x",
    ]


SEVERAL = "A > B, A > B > C, A > B > D > E"


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ({}, ["A", "B"]),
        ({"take": "deepest"}, ["A", "B", "D", "E"]),
        ({"take": "longest_common"}, ["A", "B"]),
        ({"leave_out": ["A", "b"]}, ["C"]),
    ],
)
@pytest.mark.parametrize(
    "cell", [SEVERAL, json.dumps(SEVERAL.split(", ")), [path.split(" > ") for path in SEVERAL.split(", ")]]
)
def test_which_of_several_paths_is_taken_is_a_rule_and_the_others_are_counted(rule, names, cell):
    found, notices = mapped({"category": cell}, categories={"between": ",", **rule})
    assert list(found.record.origin.names) == names
    take = rule.get("take", "first")
    text = f"category paths that were not taken, of products with several (categories.take: {take})"
    assert notices == {text: 1 if "leave_out" in rule else 2}


def test_paths_with_nothing_in_common_have_no_common_beginning():
    assert path_of("A > B | C > D", between="|", take="longest_common") == []
    assert path_of("Sale | A > B > C", between="|", leave_out=["sale"]) == ["A", "B", "C"]


def test_leading_ids_go_where_the_rule_says_so():
    cell = "2169 - Garden & Patio > 7: Tools > 12 – Spades"
    assert path_of(cell, leading_ids=True) == GARDEN
    assert path_of("3-Piece Suits > 501s > 4x4", leading_ids=True) == ["3-Piece Suits", "501s", "4x4"]


@pytest.mark.parametrize(
    "file",
    [
        "# Version: 2021-09-21\n5 - Garden & Patio\n77 - Garden & Patio > Tools > Spades\n",
        "id,path\n5,Garden & Patio\n77,Garden & Patio > Tools > Spades\n",
        "\ufeff5\tGarden & Patio\n77\tGarden & Patio\tTools\tSpades\n",
        '"id";"path"\r\n"77";"Garden & Patio > Tools > Spades"\r\n"5";"Garden & Patio"\r\n',
    ],
)
def test_ids_stand_for_paths_beside_paths_in_words(mine, file):
    (mine.folder / "ids.txt").write_text(file, "utf-8")
    mine.section["categories"] = {"ids": "ids.txt", "shallower": "ends_here"}
    cells = ["77", " 77.0 ", "5", "77 - Garden & Patio > Tools > Spades", "[77]", "A > B > C", '["5", "77"]']
    mine.collect(as_lines(rows(*({"path": cell} for cell in [*cells, 77, 77.0]))), "products.jsonl")
    found = mine.products()[LEVELS].to_numpy().tolist()
    only = ["Garden & Patio", "(ends here)", "(ends here)"]
    assert found[:9] == [GARDEN, GARDEN, only, GARDEN, GARDEN, ["A", "B", "C"], only, GARDEN, GARDEN]


def test_an_id_without_a_name_is_never_a_class(mine):
    mine.section["categories"] = {"separator": ">>", "shallower": "ends_here", "deeper": "cut"}
    assert mine.collect(rows({"path": "212"})).rejects == {CATEGORY_ID: 1}
    assert mine.rejects()["detail"][0] == (
        "line 2: its category is the number 212, which `categories.ids` could give a name"
    )
    (mine.folder / "ids.txt").write_text("1 - A\n", "utf-8")
    mine.section["categories"]["ids"] = "ids.txt"
    assert mine.collect(rows({"path": "212.0"})).rejects == {CATEGORY_ID: 1}
    assert "which `categories.ids` does not name" in mine.rejects()["detail"][0]


def test_a_file_of_ids_that_is_none(mine, tmp_path):
    mine.section["categories"] = {"ids": "ids.txt"}
    assert mine.message(ROWS).startswith("ids.txt is missing.")
    (tmp_path / "ids.txt").write_text("nothing of the kind\n", "utf-8")
    with pytest.raises(
        StudyError, match=r"in lines such as `212 - Home > Kitchen`.* first line is 'nothing of the kind'"
    ):
        load_ids(tmp_path / "ids.txt", CategoryRule())
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe1")
    with pytest.raises(StudyError, match="cannot be read as UTF-8"):
        load_ids(tmp_path / "ids.txt", CategoryRule())


def test_a_last_name_that_is_the_products_own_is_dropped_where_the_rule_says_so():
    cell, title = (
        "Home >> Sofas >>  ALMA  Linen Sofa Bed (Three Sea...",
        "Alma linen sofa bed (three seats, grey) &amp; more",
    )
    rule = {"separator": ">>", "product_name": "drop"}
    assert path_of(cell, title, **rule) == ["Home", "Sofas"]
    assert path_of("Home >> Sofas >> alma  SOFA & bed", "Alma sofa &amp; bed", **rule) == ["Home", "Sofas"]
    assert path_of("Home >> Sofas >> So...", "Sofa", **rule) == ["Home", "Sofas", "So..."]
    assert path_of("Home >> Sofas >> Alma", "Alma", separator=">>") == ["Home", "Sofas", "Alma"]
    _, notices = mapped({"category": "Home > Alma", "title": "ALMA"})
    assert notices == {"category paths that end in the product's own title (categories.product_name: keep)": 1}


def test_a_name_that_says_nothing_ends_a_path_or_is_a_gap_in_it():
    assert path_of("Home > nan > NULL") == ["Home"]
    assert path_of("Home > nan > Mugs", shallower="ends_here") == ["Home", None, "Mugs"]
    found, _ = mapped({"category": "Home > nan > Mugs"}, categories={"shallower": "repeat"})
    assert (found.record.level_1, found.record.level_2, found.record.level_3) == ("Home", None, "Mugs")
    found, _ = mapped({"category": "Home > nan > Mugs"}, missing=[])
    assert found.record.level_2 == "nan"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("['Home', 'Kit", "'category' begins as a list and cannot be read as one"),
        ("['Home', object()]", "'category' begins as a list and cannot be read as one"),
        ("{'Home': ", "'category' begins as a list and cannot be read as one"),
        ({"path": ["a", "b"]}, "name what is meant by its key: 'category.path'"),
        ({"name": "a", "full_name": "a > b"}, "'category.name' or 'category.full_name'"),
        (True, "'category' should be text, got bool"),
        (["A", True], "'category' should be text, got bool"),
        ("A\0 > B", "'category' holds a NUL character"),
    ],
)
def test_a_category_of_which_nothing_can_be_made(cell, message):
    found, _ = mapped({"category": cell})
    assert found.reason == INVALID
    assert message in found.detail


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 40 + "'a'" + "]" * 40, "['a'" * 5000, "[(" * 200, "{1:" * 300])
def test_no_list_is_too_deep_for_the_reader(text):
    assert opened(text) == text


# Depth


@pytest.mark.parametrize(
    ("shallower", "levels"),
    [
        ("ends_here", ["Home", "(ends here)", "(ends here)"]),
        ("repeat", ["Home", "Home", "Home"]),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_a_shallow_path_is_filled_and_an_empty_one_never(mine, shallower, levels, apart):
    mine.section["categories"] = {"shallower": shallower}
    table = rows({"path": "Home"}, {"path": None})
    if apart:
        mine.section["columns"] = {"id": "sku", "description": "text", **{level: level for level in LEVELS}}
        levels_of = [("Home", "NULL", None), (None, "nan", None), *[("A", "B", "C")] * 28]
        table = [row | dict(zip(LEVELS, names, strict=True)) for row, names in zip(ROWS, levels_of, strict=True)]
    assert mine.collect(table).rejects == {}
    found = mine.products()[LEVELS].astype(object)
    assert found.loc["A00"].tolist() == levels
    assert found.loc["A01"].isna().all()


def test_shallow_paths_that_are_dropped_are_listed_and_do_not_count(mine):
    mine.section["categories"] = {"separator": ">>", "shallower": "drop"}
    summary = mine.collect(rows(*({"path": path} for path in ["A >> B", None, *["A"] * 20])))
    assert (summary.products, summary.rejects) == (8, {SHALLOW: 22})
    assert mine.rejects()["detail"][1] == "line 4: its category path has 0 levels, not 3: none"


def test_too_many_shallow_paths_are_explained_with_what_was_found(mine):
    message = mine.message(
        rows(*({"path": path} for path in ["Home > Mugs", "Home", "A > B > C > D", "[]", *["E"] * 26]))
    )
    for part in (
        "30 of 30 records of the catalogue 'mine' are rejected or lack a category, more than the 5.00% that",
        "incomplete category path: 29, such as line 10: its category path has 1 levels, not 3: E",
        "2 1 3.3% Home > Mugs Home > Mugs > (none)",
        "`categories.separator: '>'` parts 2 of 29 paths.",
        "What becomes of other depths (categories.shallower and .deeper):",
        "drop cut 1 29 1 False",
    ):
        assert part in " ".join(message.split())


def test_a_separator_that_occurs_nowhere_is_named_with_the_likely_one(mine):
    mine.section["categories"] = {"separator": "|"}
    message = mine.message(ROWS)
    assert "`categories.separator: '|'` parts 0 of 30 paths." in message
    assert "categories.separator: '>>' would part 100% of them)" in message
    mine.section["categories"]["shallower"] = "repeat"
    notices = mine.collect(ROWS).notices
    text = "paths without the separator '|', such as 'Women >> Shoes >> Boots'"
    assert notices == {f"{text} (categories.separator: '>>' would part 100% of them)": 30}


def test_another_separator_in_some_paths_is_noticed(mine):
    mine.section["categories"] = {"separator": ">>", "shallower": "ends_here"}
    other = [{"path": f"Women / Shoes / Size {number}"} for number in range(10)]
    notices = mine.collect(rows(*other)).notices
    text = "paths without the separator '>>', such as 'Women / Shoes / Size 0'"
    assert notices == {f"{text} (categories.separator: ' / ' would part 100% of them)": 10}
    assert mine.collect(rows({"path": "Bags, small"}, {"path": "1:24 models"})).notices == {}


def test_what_each_choice_would_do(mine):
    mine.section["categories"] = {"separator": ">>", "shallower": "ends_here", "deeper": "cut"}
    paths = ["A >> B >> C >> D", "A >> B >> C >> E", "A >> B", "", *["A >> B >> C"] * 26]
    survey = mine.collect(rows(*({"path": path} for path in paths))).survey
    assert survey.depths().reset_index().to_numpy().tolist() == [
        [0, 1, 1 / 30, "", "(none) > (none) > (none)"],
        [2, 1, 1 / 30, "A >> B", "A > B > (ends here)"],
        [3, 26, 26 / 30, "A >> B >> C", "A > B > C"],
        [4, 2, 2 / 30, "A >> B >> C >> D", "A > B > C"],
    ]
    assert survey.choices().to_numpy().tolist() == [
        ["refuse", "refuse", 26, 4, 1, True],
        ["refuse", "cut", 28, 2, 1, True],
        ["ends_here", "refuse", 27, 3, 2, True],
        ["ends_here", "cut", 29, 1, 2, False],
        ["repeat", "refuse", 27, 3, 2, True],
        ["repeat", "cut", 29, 1, 2, False],
        ["drop", "refuse", 26, 4, 1, True],
        ["drop", "cut", 28, 2, 1, False],
    ]


BEGINS_WITH_ID = "paths that begin with an id (categories.leading_ids: true, or categories.ids)"


@pytest.mark.parametrize(
    ("paths", "notice"),
    [
        (["All > A > B", "All > C > D"], "paths that all begin with 'All' (categories.leave_out: ['All'])"),
        (["5 - A > B > C", "D > E > F"], BEGINS_WITH_ID),
        (["1 > 2 > 3", "D > 5 > 6"], BEGINS_WITH_ID),
    ],
)
def test_what_looks_wrong_in_all_paths_is_noticed(mine, paths, notice):
    summary = mine.collect(rows(*({"path": paths[number % 2]} for number in range(30))))
    assert summary.notices == {notice: 15 if "id" in notice else 30}


def test_categories_that_are_called_like_nothing_are_noticed_where_they_are_taken(mine):
    mine.section |= {"missing": [], "categories": {"separator": ">>"}}
    notices = mine.collect(rows({"path": "A >> B >> nan"}, {"path": "A >> B >> N/A"})).notices
    assert notices == {"products of a category whose name says nothing, such as 'nan' (missing)": 2}


@pytest.mark.parametrize("mark", [", ", "|", ";", "\n"])
def test_several_paths_in_a_cell_are_never_one_class_in_silence(mine, mark):
    mine.section["categories"] = {"deeper": "cut", "shallower": "ends_here"}
    paths = [f"Home > Mugs > Tall{mark}Sale > X", f"Sale{mark}Sale > All{mark}Home > Mugs"]
    table = rows(*({"path": paths[number % 2]} for number in range(30)))
    message = mine.message(table)
    assert "seems to have several category paths in a cell" in message
    assert f"(categories.between: {mark.strip(' ')!r})" in message
    mine.section["categories"]["between"] = mark
    mine.collect(table)
    assert mine.products()["level_3"].tolist() == ["Tall", "(ends here)"] * 15
    mine.section["categories"] = {"separator": ">>"}  # names with a comma are no paths
    names = [{"path": f"Clothing, Shoes & Gifts >> Bags, Belts >> Bags, {number}"} for number in range(30)]
    assert not [text for text in mine.collect(rows(*names)).notices if "several" in text]


# Texts


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (["Soft.", None, "Warm."], "Soft.\nWarm."),
        ("['Soft.', 'Warm.']", "Soft.\nWarm."),
        ('["Soft."]', "Soft."),
        ("[]", None),
        ([], None),
        ({"value": "Soft.", "language_tag": "en_US"}, "Soft."),
        ([{"language_tag": "de_DE", "value": "Weich."}, {"language_tag": "en_US", "value": "Soft."}], "Weich."),
        (
            [{"lang": "en", "value": "Soft."}, {"lang": "de", "value": "Weich."}, {"lang": "en", "value": "Warm."}],
            "Soft.\nWarm.",
        ),
        ("<![CDATA[Soft <b>wool</b>]]>", "Soft <b>wool</b>"),
        ("&lt;![CDATA[Soft]]&gt; and <![CDATA[\nwarm]]>", "Soft and \nwarm"),
        ("[Sale] Soft", "[Sale] Soft"),
        ('{"ops": [{"insert": "Soft"}]}', '{"ops": [{"insert": "Soft"}]}'),
        (r"Soft.\nWarm.\r\nRed.", "Soft.\nWarm.\nRed."),
        ("n/A", None),
        (" -- ", None),
        (float("nan"), None),
    ],
)
def test_a_text_in_any_form_is_one_text(cell, text):
    found, _ = mapped({"description": cell})
    assert found.record.description == text


def test_a_language_is_taken_where_there_are_several():
    both = [{"language_tag": "de_DE", "value": "Becher"}, {"language_tag": "en_GB", "value": "Mug"}]
    values = {"title": both, "description": json.dumps(both), "brand": {"de": "Erle", "en": "Alder"}}
    for language, texts in {"en": ("Mug", "Mug", "Alder"), "de_DE": ("Becher", "Becher", None)}.items():
        found, _ = mapped(values | ({} if language == "en" else {"brand": None}), language=language)
        assert (found.record.title, found.record.description, found.record.brand) == texts
    found, _ = mapped({"title": both}, language="fr")
    assert found.record.title is None


@pytest.mark.parametrize(
    ("brand", "taken"),
    [
        ({"name": "Alder"}, "Alder"),
        ({"id": "b7", "name": "Alder", "url": "https://x/alder", "logo": None}, "Alder"),
        ({"@type": "Brand", "name": "Alder"}, "Alder"),
        ({"value": "Alder"}, "Alder"),
        ('{"name": "Alder"}', '{"name": "Alder"}'),
        ([{"name": "Alder"}], "Alder"),
        ({}, None),
        ({"name": None}, None),
    ],
)
def test_an_object_with_one_text_is_that_text(brand, taken):
    found, _ = mapped({"brand": brand})
    assert found.record.brand == taken


def test_an_object_with_several_texts_names_the_columns_that_can_be_asked_for():
    found, _ = mapped({"brand": {"name": "Alder", "country": "Italy"}})
    assert (found.reason, found.detail) == (
        INVALID,
        "line 2: 'brand' should be text, got an object; name what is meant by its key: 'brand.name' or 'brand.country'",
    )
    mapping = TableMapping(columns=Columns(id="id", brand="brand.name", category="c"))
    row = {"id": "1", "brand": {"name": "Alder", "country": "Italy"}}
    assert to_product(Row("", row), mapping).record.brand == "Alder"
    assert "'brand.name' leads into a text" in to_product(Row("", {"id": "1", "brand": "Alder"}), mapping).detail


def test_an_id_that_says_nothing_is_missing_and_a_rounded_one_is_noticed():
    assert mapped({"id": "NaN"})[0].reason == MISSING_ID
    assert mapped({"id": "00123"})[0].record.product_id == "00123"
    found, notices = mapped({"id": "1.23E+12"})
    assert (found.record.product_id, len(notices)) == ("1.23E+12", 1)


# Photos


@pytest.mark.parametrize(
    ("cell", "first"),
    [
        ("https://x/a.jpg, https://x/b.jpg", "https://x/a.jpg"),
        ("https://x/a.jpg|https://x/b.jpg", "https://x/a.jpg"),
        ("https://x/a.jpg https://x/b.jpg", "https://x/a.jpg"),
        ("https://x/w_10,h_20/a.jpg?v=1,2", "https://x/w_10,h_20/a.jpg?v=1,2"),
        ("https://x/a.jpg?v=1\nhttps://x/b.jpg", "https://x/a.jpg?v=1"),
        ('["http://x/a.jpeg", "http://x/b.jpeg"]', "http://x/a.jpeg"),
        ("['http://x/a.jpeg']", "http://x/a.jpeg"),
        (["", "a.jpg", "b.jpg"], "a.jpg"),
        ("a b.jpg,c.png", "a b.jpg"),
        ("/m/a.webp|/m/b.webp", "/m/a.webp"),
        ("one, two.jpg", "one, two.jpg"),
        ([{"src": "https://x/a.jpg", "alt": "A mug"}], "https://x/a.jpg"),
        ("[]", None),
        ([], None),
        ("nan", None),
        (None, None),
    ],
)
def test_the_first_of_several_photos(cell, first):
    assert mapped({"image": cell})[0].image == first


def test_a_photo_in_a_list_of_objects_is_named_with_its_place():
    images = [{"thumb": "https://x/t.jpg", "large": "https://x/0.jpg", "variant": "MAIN"}, {"large": "https://x/1.jpg"}]
    assert "name one by its key: 'image.thumb' or 'image.large'" in mapped({"image": images})[0].detail
    for column in ("image[0].large", "image.large"):
        mapping = TableMapping(columns=Columns(id="id", category="c", image=column))
        for cell in (images, json.dumps(images), str(images)):
            assert to_product(Row("", {"id": "1", "image": cell}), mapping).image == "https://x/0.jpg"
    mapping = TableMapping(columns=Columns(id="id", category="c", image="image[4].large"))
    assert to_product(Row("", {"id": "1", "image": images}), mapping).image is None


def test_columns_of_lists_and_objects_are_known_whatever_the_format(mine):
    table = [row | {"about": [{"text": "x", "n": 1}], "maker": {"name": "M"}} for row in ROWS]
    mine.section["categories"] = {"separator": ">>"}
    mine.section["columns"] |= {"description": "about[0].text", "brand": "maker"}
    mine.collect(as_lines([ROWS[0] | {"about": None, "maker": None}, *table[1:]]), "products.jsonl")
    assert mine.products()["description"].dropna().eq("x").all()
    assert mine.products()["brand"].dropna().eq("M").sum() == 29
    mine.section["columns"] |= {"description": "abuot[0].text"}
    assert "table.columns.description: 'abuot[0].text'." in _fresh(mine).message(as_lines(table), "products.jsonl")
    assert not is_known("about.price", ["about.maker"])


def _fresh(mine: Mine) -> Mine:
    for path in mine.raw.iterdir():
        path.unlink()
    mine.raw.rmdir()
    return mine


# Rows


def test_variants_are_merged_by_their_id_and_the_fullest_text_is_kept(mine):
    mine.section["categories"] = {"separator": ">>"}
    blank = dict.fromkeys(ROWS[0])
    variants = [blank | {"sku": row["sku"], "photo": f"v{number}.jpg"} for row in ROWS for number in range(2)]
    more = [ROWS[3] | {"text": "<p>Longer than the others, by far.</p>", "path": None}, ROWS[3] | {"name": "THING  3"}]
    summary = mine.collect([*variants[:30], *ROWS, *more, *variants[30:]])
    assert (summary.products, summary.rejects) == (30, {})
    assert summary.notices["rows that were merged with another of the same id (columns.id)"] == 62
    products = mine.products()
    assert products["title"].tolist() == [
        row["name"] if row["sku"] != "A03" else products.loc["A03", "title"] for row in ROWS
    ]
    assert products.loc["A03", "description"] == "<p>Longer than the others, by far.</p>"
    assert products.loc["A03", LEVELS].tolist() == ["Women", "Shoes", "Boots"]


@pytest.mark.parametrize(
    ("change", "what"), [({"name": "Other"}, "title"), ({"path": "Men >> Shoes >> Boots"}, "category")]
)
def test_rows_of_one_id_that_contradict_are_named_with_their_lines(mine, change, what):
    mine.section["categories"] = {"separator": ">>"}
    table = [*rows({"text": "short"}), ROWS[0] | {"text": "short", "maker": "M"} | change]
    assert mine.collect(table).rejects == {REPEATED_ID: 1}
    detail = mine.rejects()["detail"][0]
    assert detail.startswith("'A00' is in line 61, which is kept, and in line 2, with another " + what)
    assert mine.products().loc["A00", "brand"] == "M"
    mine.allow_rejects(0.01)
    assert "`leave_out_rows` leaves out rows by a column" in _fresh(mine).message(table)


def test_rows_that_are_no_products_are_left_out_and_counted(mine):
    mine.section |= {
        "leave_out_rows": {"kind": ["Variation", "grouped"], "shown": [0]},
        "categories": {"separator": ">>"},
    }
    table = [
        row | {"kind": "variation" if number < 9 else "simple", "shown": number != 9} for number, row in enumerate(ROWS)
    ]
    table = [row | {"shown": int(row["shown"])} for row in table]
    summary = mine.collect(table)
    assert (summary.products, summary.rejects) == (20, {})
    assert summary.notices["rows that are no products (leave_out_rows)"] == 10
    mine.section["leave_out_rows"] = {"knd": ["x"]}
    assert "table.leave_out_rows.knd: 'knd'. Did you mean 'kind'?" in _fresh(mine).message(table)


def test_what_rows_without_a_category_may_be_is_said(mine):
    mine.section["categories"] = {"separator": ">>"}
    mine.section["columns"]["id"] = "code"
    table = [row | {"code": f"{row['sku']}-1"} for row in ROWS]
    below = [dict.fromkeys(ROWS[0]) | {"sku": row["sku"], "code": f"{row['sku']}-2"} for row in ROWS]
    message = mine.message([row for pair in zip(table, below, strict=True) for row in pair])
    assert "30 of 60 records of the catalogue 'mine' are rejected or lack a category" in message
    assert "Variants of a product are merged if they share `columns.id`" in message


def test_lists_and_structs_of_parquet(mine):
    paths = [[{"id": 1, "name": name} for name in GARDEN], []]
    table = [row | {"path": paths[number == 0], "maker": {"name": "M", "id": "m"}} for number, row in enumerate(ROWS)]
    mine.collect(as_parquet(table), "products.parquet")
    assert mine.products()["level_3"].fillna("").tolist() == ["", *["Spades"] * 29]
    assert mine.products()["brand"].eq("M").all()


def test_the_readers_of_cells_say_what_they_cannot_read():
    for cell in (True, [[1]], [1]):
        with pytest.raises(ValueError, match="'x' should be text, got"):
            text_of(cell, "x")
    assert first_address({"a": "no photo"}, "x") == "no photo"
