"""The same made-up products as every shop and data set would hand them out, quirks included."""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

PATHS = (
    ("Clothing", "Men", "Shirts"),
    ("Clothing", "Men", "Trousers"),
    ("Clothing", "Women", "Dresses"),
    ("Home & Living", "Kitchen", "Mugs"),
    ("Home & Living", "Kitchen", "Pans"),
    ("Home & Living", "Bath", "Towels"),
)
WORDS = [
    "linen",
    "cotton",
    "wool",
    "silk",
    "denim",
    "oak",
    "steel",
    "glass",
    "enamel",
    "copper",
    "ceramic",
    "terry",
    "velvet",
    "canvas",
    "leather",
    "ribbed",
    "woven",
    "brushed",
    "glazed",
    "printed",
    "striped",
    "plain",
    "checked",
    "soft",
    "firm",
    "light",
    "heavy",
    "narrow",
    "wide",
    "long",
    "short",
    "round",
    "square",
    "deep",
    "flat",
    "tall",
    "warm",
    "cool",
    "bright",
    "dark",
    "pale",
    "rich",
    "fine",
    "coarse",
    "smooth",
    "quilted",
    "lined",
    "hooded",
    "buttoned",
    "zipped",
    "pleated",
    "folded",
    "rolled",
    "stitched",
    "polished",
]
BRANDS = ("Alder & Finch", "Brook", "Cedar", "Dune", "Elm", "Fjord")


@dataclass(frozen=True)
class Made:
    """One product, before any shop wrote it down."""

    number: int
    title: str
    description: str
    brand: str
    path: tuple[str, ...]

    @property
    def photo(self) -> str:
        return f"https://img.shop.example/{self.number}.jpg"


def _made(number: int) -> Made:
    draw = random.Random(number)
    path = PATHS[number % len(PATHS)]
    words = draw.sample(WORDS, 14)
    title = f"{words[0].title()} {path[-1].lower()} {number}"
    return Made(number, title, f"A {' '.join(words)} thing, {number} of them.", draw.choice(BRANDS), path)


PRODUCTS = [_made(number) for number in range(48)]


def table(path: Path, rows: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Write rows as CSV; a key that a row lacks is a blank cell."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, delimiter=delimiter, restval="")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def lines(path: Path, rows: list[dict]) -> Path:
    content = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def woocommerce(folder: Path) -> Path:
    """Variations in rows of their own, several paths in a cell, a comma in a name, `\\n` in texts, a mark first."""
    rows = []
    for made in PRODUCTS:
        path = " > ".join(made.path).replace("Towels", "Towels\\, Large & Small")
        parent = " > ".join(made.path[:2])
        row = {
            "ID": 100 + 10 * made.number,
            "Type": "variable" if made.number % 5 == 0 else "simple",
            "SKU": f"SKU-{made.number}",
            "Name": made.title,
            "Published": 1,
            "Is featured?": 0,
            "Visibility in catalog": "visible",
            "Short description": f"Short {made.number}",
            "Description": f"<p>{made.description}</p>\\n<p>Made well.</p>",
            "Tax status": "taxable",
            "In stock?": 1,
            "Regular price": f"{made.number}.99",
            "Categories": f"{parent}, {path}, Sale" if made.number % 3 else path,
            "Tags": "new, sale",
            "Images": f"{made.photo}, https://img.shop.example/back/{made.number}.jpg",
            "Parent": "",
            "Brands": made.brand,
        }
        rows.append(row)
        if row["Type"] == "variable":
            rows += [
                {
                    "ID": row["ID"] + size,
                    "Type": kind,
                    "SKU": f"SKU-{made.number}-{size}",
                    "Name": f"{made.title} - {size}",
                }
                | {"Published": 1, "Parent": row["SKU"], "Images": made.photo, "Regular price": "9.99"}
                for size, kind in ((1, "variation"), (2, "variation, virtual"))
            ]
    return table(folder / "wc-product-export-29-11-2026.csv", rows, encoding="utf-8-sig")


def woocommerce_german(folder: Path) -> Path:
    """The site's language, no number of articles, and a category that says that there is none."""
    rows = [
        {"ID": 10 + made.number, "Typ": "simple", "Artikelnummer": "", "Name": made.title, "Veröffentlicht": 1}
        | {"Kurzbeschreibung": made.description, "Beschreibung": "", "Kategorien": " > ".join(made.path)}
        | {"Schlagwörter": "", "Bilder": made.photo, "Übergeordnetes Produkt": ""}
        for made in PRODUCTS
    ]
    rows[0]["Kategorien"] = "Unkategorisiert"
    return table(folder / "Produkte Export.csv", rows, encoding="utf-8-sig")


SHOPIFY_OLD = ("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Variant SKU", "Image Src")
SHOPIFY_NEW = ("URL handle", "Title", "Description", "Vendor", "Product category", "Type", "SKU", "Product image URL")


def _shopify(path: Path, names: tuple[str, ...]) -> Path:
    """Each variant and each further photo has a row, in which only these cells are filled."""
    handle, title, body, vendor, category, kind, sku, image = names
    rows = []
    for made in PRODUCTS:
        slug = made.title.lower().replace(" ", "-")
        first = {handle: slug, title: made.title, body: f"<p>{made.description}</p>", vendor: made.brand}
        first |= {category: " > ".join([*made.path, "Leaf"]), kind: made.path[-1], "Tags": "a, b", "Published": "true"}
        first |= {"Option1 Name": "Size", "Option1 Value": "S", sku: f"{made.number}S", "Variant Price": "9.99"}
        rows += [first | {image: f"{made.photo}?v=1", "Image Position": 1, "Status": "active"}]
        rows += [{handle: slug, "Option1 Value": "M", sku: f"{made.number}M", "Variant Price": "9.99"}]
        rows += [{handle: slug, image: f"https://img.shop.example/b{made.number}.jpg?v=1", "Image Position": 2}]
    return table(path, rows)


def shopify(folder: Path) -> Path:
    return _shopify(folder / "products_export_1.csv", SHOPIFY_OLD)


def shopify_new(folder: Path) -> Path:
    return _shopify(folder / "products_export.csv", SHOPIFY_NEW)


def _google(made: Made, category: str | int, product_type: str = "") -> dict:
    row = {"id": f"{made.number:05d}", "title": made.title, "description": made.description}
    row |= {"link": f"https://shop.example/p/{made.number}", "image_link": made.photo, "availability": "in_stock"}
    row |= {"price": "9.99 EUR", "brand": made.brand, "gtin": f"{made.number:013d}"}
    return row | {"google_product_category": category, "product_type": product_type}


def google_text(folder: Path) -> Path:
    rows = [_google(made, " > ".join([*made.path, "Deep", "Deeper"])) for made in PRODUCTS]
    return table(folder / "feed.txt", rows, "\t")


def google_mixed(folder: Path) -> Path:
    """Half of the Google categories are numbers: the shop's own paths are taken."""
    rows = [
        _google(m, 200 + m.number % 6 if m.number % 2 else " > ".join(m.path), " > ".join(m.path)) for m in PRODUCTS
    ]
    return table(folder / "merchant.tsv", rows, "\t")


def google_numbers(folder: Path) -> Path:
    """Numbers alone, and the taxonomy's own file beside."""
    taxonomy = [f"{200 + number} - {' > '.join(path)}" for number, path in enumerate(PATHS)]
    text = "\n".join(["# Google_Product_Taxonomy_Version: 2021-09-21", *taxonomy])
    (folder / "taxonomy-with-ids.en-US.txt").write_text(text + "\n", "utf-8")
    return table(folder / "numbers.tsv", [_google(made, 200 + PATHS.index(made.path)) for made in PRODUCTS], "\t")


def google_both(folder: Path) -> Path:
    """The id and the path in a cell."""
    rows = [_google(made, f"{200 + PATHS.index(made.path)} - {' > '.join(made.path)}") for made in PRODUCTS]
    return table(folder / "both.tsv", rows, "\t")


def _item(made: Made, names: tuple[str, str, str]) -> str:
    """The three plain names differ between RSS and Atom; all others are Google's."""
    title, text, link = names
    return (
        f"<g:id>{made.number}</g:id><{title}>{escape(made.title)}</{title}>"
        f"<{text}><![CDATA[<p>{made.description}</p>]]></{text}>{link.format(made.number)}"
        f"<g:image_link>{made.photo}</g:image_link><g:brand>{escape(made.brand)}</g:brand>"
        f"<g:product_type>{escape(' > '.join(made.path))}</g:product_type>"
    )


def google_rss(folder: Path) -> Path:
    names = ("title", "description", "<link>https://shop.example/{}</link>")
    items = "\n".join(f"<item>{_item(made, names)}</item>" for made in PRODUCTS)
    head = '<?xml version="1.0"?>\n<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>'
    (folder / "rss.xml").write_text(
        f"{head}<title>Shop</title><link>https://shop.example</link>{items}</channel></rss>"
    )
    return folder / "rss.xml"


def google_atom(folder: Path) -> Path:
    names = ("g:title", "g:description", '<link href="https://shop.example/{}"/>')
    entries = "\n".join(f"<entry>{_item(made, names)}</entry>" for made in PRODUCTS)
    head = '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
    (folder / "atom.xml").write_text(f"{head}<title>Shop</title>{entries}</feed>")
    return folder / "atom.xml"


def magento(folder: Path) -> Path:
    """A root that is in every path, several paths, invisible variants, and a translation in a row of its own."""
    rows = []
    for made in PRODUCTS:
        paths = ["Default Category/" + "/".join(made.path[:depth]) for depth in (1, 2, 3)]
        row = {
            "sku": f"M{made.number}",
            "store_view_code": "",
            "attribute_set_code": "Default",
            "product_type": "simple",
        }
        row |= {"categories": ",".join([*paths, "Default Category/Sale"]), "product_websites": "base"}
        row |= {"name": made.title, "description": f"<p>{made.description}</p>", "short_description": ""}
        row |= {"visibility": "Catalog, Search", "price": "9.99", "base_image": f"/m/{made.number}.jpg"}
        row |= {"additional_attributes": f"color=Red,manufacturer={made.brand}"}
        rows += [row, {"sku": row["sku"], "store_view_code": "de", "name": f"Ein Ding, das {made.number}. von vielen"}]
        rows += [row | {"sku": f"M{made.number}-S", "visibility": "Not Visible Individually"}]
    return table(folder / "catalog_product.csv", rows)


def amazon_2014(folder: Path) -> Path:
    """A list of lists, and lines that are Python and not JSON."""
    rows = [
        {"asin": f"B{made.number:09d}", "title": made.title, "description": made.description, "price": 9.99}
        | {"imUrl": made.photo, "related": {"also_bought": ["B1", "B2"]}, "salesRank": {"Clothing": made.number}}
        | {"brand": made.brand, "categories": [list(made.path), ["Sale"]]}
        for made in PRODUCTS
    ]
    (folder / "meta_2014.json.gz").write_bytes(gzip.compress("\n".join(map(repr, rows)).encode()))
    return folder / "meta_2014.json.gz"


def amazon_2018(folder: Path) -> Path:
    """Texts in lists, a root that is in every path, several sizes of a photo, and some without any category."""
    rows = [
        {
            "category": ["Clothing, Shoes & Jewelry", *made.path],
            "description": [made.description, "More."],
            "brand": made.brand,
        }
        | {"title": made.title, "feature": ["soft"], "rank": "5", "also_buy": [], "main_cat": "<img src='x.png'>"}
        | {"asin": f"B{made.number:09d}", "imageURL": [made.photo], "imageURLHighRes": [made.photo]}
        for made in PRODUCTS
    ]
    for row in rows[:2]:
        row["category"] = []
    return lines(folder / "meta_2018.json.gz", rows)


def amazon_2023(folder: Path) -> Path:
    rows = [
        {"main_category": "AMAZON FASHION", "title": made.title, "average_rating": 4.5, "rating_number": 7}
        | {
            "features": ["Soft", made.description],
            "description": [] if made.number % 4 else [made.description],
            "price": None,
        }
        | {
            "images": [{"thumb": f"{made.photo}?t", "large": made.photo, "variant": "MAIN", "hi_res": None}],
            "videos": [],
        }
        | {"store": made.brand, "categories": list(made.path), "details": {"Department": "x"}, "bought_together": None}
        | {"parent_asin": f"B{made.number:09d}"}
        for made in PRODUCTS
    ]
    return lines(folder / "meta_2023.jsonl", rows)


def flipkart(folder: Path) -> Path:
    """One joined path in a list, whose last name is the product's own."""
    rows = [
        {
            "uniq_id": f"{made.number:032x}",
            "crawl_timestamp": "2016-03-25",
            "product_url": f"http://shop.example/{made.number}",
        }
        | {"product_name": made.title, "product_category_tree": json.dumps([" >> ".join([*made.path, made.title])])}
        | {"pid": f"P{made.number}", "retail_price": 999, "discounted_price": 379.0}
        | {"image": json.dumps([made.photo, made.photo]), "is_FK_Advantage_product": False}
        | {"description": made.description, "product_rating": "No rating available", "brand": made.brand}
        for made in PRODUCTS
    ]
    return table(folder / "flipkart_com-ecommerce_sample.csv", rows)


def berkeley(folder: Path) -> Path:
    """Texts in languages, paths with a root in the market's language."""
    rows = [
        {"brand": [{"language_tag": "en_US", "value": made.brand}]}
        | {
            "bullet_point": [
                {"language_tag": "en_US", "value": made.description},
                {"language_tag": "en_US", "value": "Soft"},
            ]
        }
        | {
            "item_id": f"B{made.number:09d}",
            "model_number": [{"value": f"M{made.number}"}],
            "main_image_id": f"81{made.number}L",
        }
        | {
            "item_name": [
                {"language_tag": "de_DE", "value": "Ein Ding"},
                {"language_tag": "en_US", "value": made.title},
            ]
        }
        | {"product_type": [{"value": "THING"}], "marketplace": "Amazon", "country": "US", "domain_name": "amazon.com"}
        | {"node": [{"node_id": made.number, "node_name": f"/{'Categories' if made.number % 2 else 'Kategorien'}/"}]}
        for made in PRODUCTS
    ]
    for row, made in zip(rows, PRODUCTS, strict=True):
        row["node"][0]["node_name"] += "/".join(made.path)
    return lines(folder / "listings_0.json.gz", rows)


def bestbuy(folder: Path) -> Path:
    """One JSON array; a path is a list of objects; numbers for ids."""
    rows = [
        {
            "sku": 43900 + made.number,
            "name": made.title,
            "type": "HardGood",
            "price": 5.49,
            "upc": f"{made.number:012d}",
        }
        | {
            "category": [{"id": f"abcat{number}", "name": name} for number, name in enumerate(made.path)],
            "shipping": 5.49,
        }
        | {"description": made.description, "manufacturer": made.brand, "model": "M1", "url": "http://shop.example/x"}
        | {"image": made.photo}
        for made in PRODUCTS
    ]
    (folder / "products.json").write_text(json.dumps(rows, indent=1), "utf-8")
    return folder / "products.json"


def unknown_german(folder: Path) -> Path:
    """No form that is known: semicolons, cp1252, German names, another separator, and a root."""
    rows = [
        {
            "Artikelnr.": f"0{made.number:04d}",
            "Bezeichnung": made.title,
            "Artikelbeschreibung": f"{made.description} Größe: M",
        }
        | {
            "Hersteller": made.brand,
            "Warengruppe": " / ".join(["Alle Produkte", *made.path]),
            "Preis": f"{made.number},99",
        }
        | {"Bild-URL": made.photo}
        for made in PRODUCTS
    ]
    return table(folder / "Artikel.csv", rows, ";", "cp1252")


def unknown_names(folder: Path) -> Path:
    """Columns whose names say nothing: only what they hold tells."""
    rows = [
        {
            "c1": "EUR",
            "c2": f"x{made.number}",
            "c3": made.description,
            "c4": "|".join(made.path),
            "c5": made.title,
            "c6": "9.99",
        }
        for made in PRODUCTS
    ]
    return table(folder / "dump.csv", rows)


def three_columns(folder: Path) -> Path:
    """Three columns, nested in one another."""
    rows = [
        {"produit": made.number, "nom": made.title, "texte": made.description, "marque": made.brand}
        | dict(zip(("univers", "rayon", "famille"), made.path, strict=True))
        for made in PRODUCTS
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")
    return folder / "catalogue.parquet"


def photos_beside(folder: Path) -> Path:
    """File names of photos, which are in a folder beside the table."""
    (folder / "pictures").mkdir()
    for made in PRODUCTS:
        (folder / f"pictures/{made.number}.jpg").write_bytes(f"photo {made.number}".encode())
    rows = [
        {"sku": f"A{made.number}", "name": made.title, "text": made.description, "category": " > ".join(made.path)}
        | {"photo": f"{made.number}.jpg"}
        for made in PRODUCTS
    ]
    return table(folder / "mine.csv", rows)


FEEDS: dict[Callable[[Path], Path], str] = {
    woocommerce: "WooCommerce",
    woocommerce_german: "WooCommerce",
    shopify: "Shopify",
    shopify_new: "Shopify",
    google_text: "Google Merchant Center",
    google_mixed: "Google Merchant Center",
    google_numbers: "Google Merchant Center",
    google_both: "Google Merchant Center",
    google_rss: "Google Merchant Center",
    google_atom: "Google Merchant Center",
    magento: "Magento 2",
    amazon_2014: "Amazon Reviews 2014",
    amazon_2018: "Amazon Reviews 2018",
    amazon_2023: "Amazon Reviews 2023",
    flipkart: "Flipkart",
    berkeley: "Amazon Berkeley Objects",
    bestbuy: "Best Buy",
    unknown_german: "no known form",
    unknown_names: "no known form",
    three_columns: "no known form",
    photos_beside: "no known form",
}
"""What writes a feed, and what it should be recognised as."""
