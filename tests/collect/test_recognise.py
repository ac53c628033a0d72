"""A feed is recognised, and the catalogue that is written for it is collected and cleaned without a change."""

import subprocess
import sys
from dataclasses import replace

import made_feeds
import pandas as pd
import pytest
import yaml
from made_feeds import FEEDS, PATHS, PRODUCTS, lines, table

from lib.check import add_to_params, look, write
from lib.clean.clean import clean
from lib.collect import collect
from lib.exceptions import StudyError
from lib.schemas import CLEAN_PRODUCTS, read_table


@pytest.fixture
def shop(study):
    """Return a study, in which the weights that a new catalogue names are there."""
    (study / "lib/demo_shop").mkdir(parents=True)
    (study / "lib/demo_shop/weights.safetensors").touch()
    return study


@pytest.fixture
def inbox(tmp_path):
    """Return a folder outside of the study, where a feed comes from."""
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def section(study, name="mine"):
    return yaml.safe_load((study / f"catalogues/{name}.yaml").read_text("utf-8"))["table"]


def cleaned(study, name="mine") -> pd.DataFrame:
    collect(name)
    clean(name)
    return read_table(study / f"build/{name}/clean/products.parquet", CLEAN_PRODUCTS)


@pytest.mark.slow
@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.__name__)
def test_a_feed_is_recognised_and_its_catalogue_is_collected_and_cleaned_as_it_is(feed, shop, inbox):
    told = write(feed(inbox), "mine", force=False)
    assert FEEDS[feed] in told[0]
    assert "Next:  dvc repro clean@mine" in told
    products = cleaned(shop)
    expected = {
        made.title: tuple(name.replace("Towels", TOWELS.get(feed, "Towels")) for name in made.path) for made in PRODUCTS
    }
    found = {row["title"]: (row["level_1"], row["level_2"], row["level_3"]) for _, row in products.iterrows()}
    assert len(found) >= len(expected) - LOST.get(feed, 0)
    assert found == {title: expected[title] for title in found}
    assert products["text"].str.len().min() > 40
    if feed not in WITHOUT_BRANDS:
        assert set(products["brand"]) == {made.brand for made in PRODUCTS}
    assert (shop / "data/mine").is_dir()


TOWELS = {made_feeds.woocommerce: "Towels, Large & Small"}
LOST = {made_feeds.woocommerce_german: 1, made_feeds.amazon_2018: 2}
WITHOUT_BRANDS = (made_feeds.woocommerce_german, made_feeds.magento, made_feeds.unknown_names, made_feeds.photos_beside)


# What is chosen


def rows(**more):
    """Return rows of a plain table, in which a function of a product may change a column."""
    return [
        {"sku": f"A{made.number}", "name": made.title, "text": made.description, "category": " > ".join(made.path)}
        | {key: value(made) for key, value in more.items()}
        for made in PRODUCTS
    ]


def rule(shop, inbox, **more):
    write(table(inbox / "feed.csv", rows(**more)), "mine", force=False)
    return section(shop).get("categories", {})


@pytest.mark.parametrize("separator", [">", ">>", "|", "/", "›", " - ", ":", " / "])
def test_the_separator_is_what_most_paths_have(shop, inbox, separator):
    assert rule(shop, inbox, category=lambda made: separator.join(made.path))["separator"] == separator


def test_several_paths_in_a_cell_are_parted_and_the_deepest_is_taken(shop, inbox):
    found = rule(shop, inbox, category=lambda made: f"{made.path[0]} | {' > '.join(made.path)} | Sale")
    assert (found["between"], found["take"]) == ("|", "deepest")


def test_a_comma_within_names_parts_no_paths(shop, inbox):
    found = rule(
        shop, inbox, category=lambda made: " > ".join(made.path).replace("Clothing", "Clothing, Shoes & Jewelry")
    )
    assert "between" not in found


def test_ids_before_names_are_taken_away(shop, inbox):
    assert (
        rule(shop, inbox, category=lambda made: f"{made.number % 6} - {' > '.join(made.path)}")["leading_ids"] is True
    )


def test_deeper_paths_are_cut_and_shorter_ones_end_here(shop, inbox):
    found = rule(shop, inbox, category=lambda made: " > ".join([*made.path, "Leaf"][: 2 + made.number % 3]))
    assert (found["deeper"], found["shallower"]) == ("cut", "ends_here")
    text = (shop / "catalogues/mine.yaml").read_text("utf-8")
    assert "16 paths have more than three names; 48 of 48 products are kept" in text


def test_where_no_path_reaches_the_third_level_the_last_name_is_repeated(shop, inbox):
    assert rule(shop, inbox, category=lambda made: " > ".join(made.path[1:])) == {
        "separator": ">",
        "shallower": "repeat",
    }


def test_products_without_any_category_are_dropped_where_they_are_too_many(shop, inbox):
    found = rule(shop, inbox, category=lambda made: " > ".join(made.path) if made.number % 2 else "n/a")
    assert found["shallower"] == "drop"


@pytest.mark.parametrize("below", [0, 1])
def test_a_root_of_all_paths_is_left_out_for_there_is_nothing_to_predict(shop, inbox, below):
    found = rule(shop, inbox, category=lambda made: " > ".join(["Garden", *made.path[below:]]))
    assert found["leave_out"] == ["Garden"]
    assert found.get("shallower") == (None, "repeat")[below]


def test_a_root_of_nearly_all_paths_stays_if_it_says_something(shop, inbox):
    assert "leave_out" not in rule(
        shop, inbox, category=lambda made: " > ".join(["Garden", *made.path[1:]][made.number < 1 :])
    )


def test_numbers_without_a_taxonomy_are_left_out_and_it_is_said_how_to_keep_them(shop, inbox):
    feed = table(
        inbox / "feed.csv", rows(category=lambda made: "212" if made.number % 4 == 0 else " > ".join(made.path))
    )
    told = "\n".join(write(feed, "mine", force=False))
    assert "25.0% of products have a category that is only a number" in told
    assert "taxonomy-with-ids" in told
    assert len(cleaned(shop)) == 36


def test_two_nested_columns_will_do(shop, inbox):
    made = [{key: row[key] for key in ("sku", "name", "text")} for row in rows()]
    made = [row | {"dept": of.path[1], "kind": of.path[2]} for row, of in zip(made, PRODUCTS, strict=True)]
    write(table(inbox / "feed.csv", made), "mine", force=False)
    columns = section(shop)["columns"]
    assert (columns["level_1"], columns["level_2"], columns["level_3"]) == ("dept", "kind", "kind")


def test_of_columns_of_levels_those_are_taken_that_are_nested(shop, inbox):
    names = ("masterCategory", "subCategory", "articleType")
    feed = [
        {"id": made.number, "gender": ("Men", "Women")[made.number % 2], **dict(zip(names, made.path, strict=True))}
        | {"season": ("Fall", "Summer", "Spring")[made.number % 3], "productDisplayName": made.title}
        for made in PRODUCTS
    ]
    write(table(inbox / "styles.csv", feed), "mine", force=False)
    assert [section(shop)["columns"][f"level_{number}"] for number in (1, 2, 3)] == [*names]
    assert yaml.safe_load((shop / "catalogues/mine.yaml").read_text("utf-8"))["text"] == ["title"]


def test_variants_in_rows_of_their_own_are_one_product(shop, inbox):
    feed = [row | {"size": size} for row in rows() for size in "SML"]
    write(table(inbox / "feed.csv", feed), "mine", force=False)
    assert section(shop)["columns"]["id"] == "sku"
    assert collect("mine").products == len(PRODUCTS)


def test_an_address_will_do_for_an_id_where_nothing_else_does(shop, inbox):
    feed = [{"page": f"https://shop.example/{n}", **row} for n, row in enumerate(rows())]
    write(
        table(inbox / "feed.csv", [{k: v for k, v in row.items() if k != "sku"} for row in feed]), "mine", force=False
    )
    assert section(shop)["columns"]["id"] == "page"


def test_names_of_columns_may_be_spanish(shop, inbox):
    names = {"sku": "Código", "name": "Nombre", "text": "Descripción", "category": "Categoría"}
    made = [{names[key]: value for key, value in row.items()} | {"Marca": "Dune"} for row in rows()]
    write(table(inbox / "feed.csv", made), "mine", force=False)
    columns = section(shop)["columns"]
    assert columns == {
        "id": "Código",
        "title": "Nombre",
        "description": "Descripción",
        "category": "Categoría",
        "brand": "Marca",
    }


def test_the_fuller_of_two_descriptions_is_taken(shop, inbox):
    feed = lines(
        inbox / "feed.jsonl",
        [row | {"description": "A very long one" if n < 5 else ""} for n, row in enumerate(rows())],
    )
    write(feed, "mine", force=False)
    assert section(shop)["columns"]["description"] == "text"


def test_photos_that_are_called_by_ids_are_found_in_an_archive(shop, inbox):
    import zipfile

    with zipfile.ZipFile(inbox / "photos.zip", "w") as archive:
        for made in PRODUCTS:
            archive.writestr(f"A{made.number}.jpg", f"photo {made.number}")
    write(table(inbox / "feed.csv", rows()), "mine", force=False)
    found = section(shop)
    assert (found["images"], found["image_name"]) == ({"zip": "photos.zip"}, "{id}.jpg")
    assert collect("mine").photos == len(PRODUCTS)


def test_nobody_is_asked_for_photos_but_what_to_write_is_there(shop, inbox):
    write(table(inbox / "feed.csv", rows(photo=lambda made: made.photo)), "mine", force=False)
    assert "images" not in section(shop)
    text = (shop / "catalogues/mine.yaml").read_text("utf-8")
    asked = text.replace("# image: photo", "image: photo").replace("  # images:", "  images:")
    asked = asked.replace("  #   addresses", "    addresses").replace("  #     ", "      ")
    fetched = yaml.safe_load(asked)["table"]["images"]["addresses"]
    assert fetched["hosts"] == ["img.shop.example"]


@pytest.mark.parametrize(
    ("count", "sizes", "seeds"), [(40, ["all"], 1), (1200, ["all"], 3), (4000, [500, 1500, "all"], 3)]
)
def test_what_is_trained_goes_by_the_number_of_products(shop, inbox, count, sizes, seeds):
    made = [replace(PRODUCTS[number % 48], number=number) for number in range(count)]
    feed = [{"sku": of.number, "text": f"{of.description} {of.number}", "category": " > ".join(of.path)} for of in made]
    write(table(inbox / "feed.csv", feed), "mine", force=False)
    content = yaml.safe_load((shop / "catalogues/mine.yaml").read_text("utf-8"))
    assert (content["train_sizes"], content["seeds"]) == (sizes, seeds)


# What is said


@pytest.mark.parametrize(
    ("column", "problem", "hint"),
    [
        ("sku", "tells each product from all others", "Add a column of it once, and keep it"),
        ("category", "holds categories", "columns: {category: category}"),
    ],
)
def test_what_cannot_be_recognised_is_said_with_the_columns_and_an_example(shop, inbox, column, problem, hint):
    made = [{key: value for key, value in row.items() if key != column} | {"colour": "red"} for row in rows()]
    with pytest.raises(StudyError) as error:
        write(table(inbox / "feed.csv", made), "mine", force=False)
    assert problem in str(error.value)
    assert hint in str(error.value)
    assert "'colour'" in str(error.value)
    assert not (shop / "catalogues/mine.yaml").exists()


def test_a_file_that_is_not_there_and_a_name_that_cannot_be_are_said(shop, inbox):
    feed = table(inbox / "feed.csv", rows())
    with pytest.raises(StudyError, match=r"There is no file .*fed.csv. Did you mean 'feed.csv'?"):
        write(inbox / "fed.csv", None, force=False)
    with pytest.raises(StudyError, match=r"such as 'my_shop'. Got '../My shop'"):
        write(feed, "../My shop", force=False)


def test_a_catalogue_that_is_there_is_not_replaced_unless_that_is_asked_for(shop, inbox):
    feed = table(inbox / "Demo.csv", rows())
    before = (shop / "catalogues/demo.yaml").read_text("utf-8")
    with pytest.raises(StudyError, match=r"demo.yaml exists. `--name ANOTHER`.*`--force`"):
        write(feed, None, force=False)
    assert (shop / "catalogues/demo.yaml").read_text("utf-8") == before
    write(feed, "mine", force=False)
    write(feed, "mine", force=True)
    assert (shop / "params.yaml").read_text("utf-8").count("data/mine") == 1


def test_a_file_below_data_stays_where_it_is(shop):
    (shop / "data/spring").mkdir(parents=True)
    write(table(shop / "data/spring/feed.csv", rows()), "mine", force=False)
    params = yaml.safe_load((shop / "params.yaml").read_text("utf-8"))
    assert params["study"]["mine"]["source"] == "data/spring"
    assert not (shop / "data/mine").exists()


def test_params_yaml_gets_one_line_and_keeps_all_others(shop, inbox):
    before = (shop / "params.yaml").read_text("utf-8").splitlines()
    write(table(inbox / "feed.csv", rows()), "mine", force=False)
    after = (shop / "params.yaml").read_text("utf-8").splitlines()
    added = "  mine: {source: data/mine, weights: lib/demo_shop/weights.safetensors}"
    place = after.index(added)
    assert [*after[:place], *after[place + 1 :]] == before
    assert list(yaml.safe_load("\n".join(after))["study"]) == ["demo", "mine"]


@pytest.mark.parametrize(
    "study_of",
    ["study: {}\n", "study: {a: {source: x}}\n", "study:\n  a: {source: x}", "study:\n  a:\n    source: x\n"],
)
def test_whatever_the_layout_of_params_yaml_it_stays_valid(study_of):
    after = yaml.safe_load(add_to_params(study_of, "mine", "data/mine"))["study"]
    assert after.pop("mine")["source"] == "data/mine"
    assert after in ({}, {"a": {"source": "x"}})


def test_a_look_at_a_catalogue_says_what_its_table_holds(shop, inbox):
    write(
        table(inbox / "feed.csv", rows(category=lambda made: " > ".join(made.path[: 2 + made.number % 2]))),
        "mine",
        force=False,
    )
    told = "\n".join(look("mine"))
    assert "48 products in feed.csv" in told
    assert "ends_here" in told
    assert "Clothing > Women > (ends here)" in told
    assert look("demo") == ["'demo' is no table (its kind is shop): its settings are valid."]


@pytest.mark.slow
def test_the_two_commands_of_a_user(shop_project, inbox):
    """As somebody would type them: from a feed to cleaned products."""
    from pipeline import dvc, environment

    root = shop_project
    command = [sys.executable, "-m", "lib.check", "--source", str(made_feeds.shopify(inbox))]
    told = subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    second = next(line for line in told.stdout.splitlines() if line.startswith("Next:"))
    assert second == "Next:  dvc repro clean@products_export_1"
    result = dvc(root, *second.split()[2:])
    assert result.returncode == 0, result.stdout + result.stderr
    products = pd.read_parquet(root / "build/products_export_1/clean/products.parquet")
    assert len(products) == len(PRODUCTS)
    assert set(products["level_3"]) == {path[-1] for path in PATHS}


@pytest.fixture
def shop_project(tmp_path):
    from pipeline import copy_project

    root = copy_project(tmp_path / "project")
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--quiet", "--force"], cwd=root, check=False, capture_output=True
    )
    return root
