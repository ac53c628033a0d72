"""The `clean` stage: raw products become texts, classes, near-duplicate groups and splits."""

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from operator import ne

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib import config, files, schemas
from lib.clean import splits
from lib.clean.duplicates import near_duplicate_groups, photo_hashes
from lib.clean.masking import Masker
from lib.clean.taxonomy import called_missing, encode_levels, fold_spellings, named_like_product
from lib.clean.texts import ENTITY, TAG, clean_text, fold, repair, strip_html, without_codes
from lib.config import LEVELS, SplitParams
from lib.exceptions import StudyError


@dataclass(frozen=True)
class Summary:
    """What cleaning did.

    Attributes
    ----------
    rows_in, rows_out
        Products before and after rejects.
    rejects
        Rejected products, by reason.
    texts
        Descriptions by what was found in them: `markup`, `entities`, `mended characters`, `codes` (of page builders,
        or Markdown), `empty`, `unspecific` (too few phrases of their own to look for near-duplicates); and texts that
        are `empty once masked`.
    common_in, common_limit, common_share
        Share of the descriptions' three-word phrases that are in more than so many `brands`, or `products` where
        brands are too few to tell. They stay in the texts.
    removed_words
        How often each word of the taxonomy was removed, in falling order.
    linked
        Products that are linked to a near-duplicate, by what is alike.
    respelled
        Products whose class was spelled otherwise, by level and spelling.
    called_missing
        Products whose brand or class is called as if there were none, by column and name.
    named_like_product
        Category paths whose last name is the title of each of their products; and those products.
    unseen
        Share of a split's test products on a category path that none of its training products has.
    """

    rows_in: int
    rows_out: int
    rejects: dict[str, int]
    texts: dict[str, int]
    common_in: str
    common_limit: int
    common_share: float
    removed_words: dict[str, int]
    linked: dict[str, int]
    respelled: dict[str, int]
    called_missing: dict[str, int]
    named_like_product: tuple[int, int]
    unseen: dict[str, float]


def clean(name: str) -> Summary:
    """Make `build/NAME/clean/` from `build/NAME/raw/`, whole or not at all.

    Raises
    ------
    StudyError
        If raw products are missing or not in their form, if too many of them have no complete category path, if a
        level has a single class, or if a split measures nothing (`splits.check_parts`).
    """
    params, catalogue = config.load_params(), config.load_catalogue(name)
    raw = schemas.read_table(config.build_dir(name, "raw", "products.parquet"), schemas.RAW_PRODUCTS)
    raw = raw.sort_values("product_id", ignore_index=True)
    raw = raw.assign(**{level: _each_once(raw[level].fillna("")) for level in LEVELS})
    rejects = find_rejects(raw, name, params.clean.max_reject_share)
    kept, respelled = fold_spellings(raw[~raw["product_id"].isin(rejects["product_id"])].reset_index(drop=True))
    taxonomy, codes = encode_levels(kept, name)
    texts, found = clean_texts(kept)
    photos = photo_hashes(config.build_dir(name, "raw", "images.zip"), kept["image"].tolist())
    groups = near_duplicate_groups(texts.assign(model=kept["model"]), photos, params.clean)
    texts["text"] = [fold(" ".join(parts)) for parts in zip(*(texts[part] for part in catalogue.text), strict=True)]
    masked, removed = Masker(chain(*taxonomy["levels"])).mask_all(texts["text"])
    texts["masked_text"] = pd.Series(masked, dtype="str")
    products = _table(kept, texts, codes, groups.of, params.split, catalogue.development)
    unseen = splits.check_parts(products, name)
    with files.whole(config.build_dir(name, "clean")) as folder:
        folder.mkdir()
        schemas.write_table(folder / "products.parquet", products, schemas.CLEAN_PRODUCTS)
        schemas.write_table(folder / "rejects.parquet", rejects, schemas.REJECTS)
        files.write_json(folder / "taxonomy.json", taxonomy)
    found["unspecific"] = groups.unspecific - found["empty"]
    found["empty once masked"] = int(((texts["masked_text"] == "") & (texts["text"] != "")).sum())
    return Summary(
        rows_in=len(raw),
        rows_out=len(kept),
        rejects=dict(Counter(rejects["reason"])),
        texts=found,
        common_in=groups.common_in,
        common_limit=groups.common_limit,
        common_share=groups.common_share,
        removed_words=dict(sorted(removed.items(), key=lambda item: (-item[1], item[0]))),
        linked=groups.linked,
        respelled=respelled,
        called_missing=called_missing(products),
        named_like_product=named_like_product(products),
        unseen=unseen,
    )


def find_rejects(raw: pd.DataFrame, name: str, max_share: float) -> pd.DataFrame:
    """List the products without a complete category path.

    Raises
    ------
    StudyError
        If they are more than `max_share` of all, or if there is no product.
    """
    missing = raw[list(LEVELS)] == ""
    rows = missing.any(axis=1)
    detail = [", ".join(missing.columns[row]) for row in missing.to_numpy()[rows]]
    share = float(rows.mean()) if len(raw) else 1.0
    if share > max_share or rows.all():
        first = raw[rows].iloc[:1].to_dict("records")
        shown = "".join(f" The first: '{row['product_id']}' with {[row[level] for level in LEVELS]}." for row in first)
        raise StudyError(
            f"The catalogue '{name}' has {int(rows.sum()):,} of {len(raw):,} products without a complete category "
            f"path. Expected at most {max_share:.1%} (clean.max_reject_share), found {share:.1%}.{shown} A "
            "table's shorter paths can be filled (`categories.shallower: ends_here` or `repeat`)."
        )
    return (
        pd.DataFrame({"product_id": raw.loc[rows, "product_id"], "reason": "incomplete path", "detail": detail})
        .astype("str")
        .reset_index(drop=True)
    )


def clean_texts(products: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Clean brands, titles and descriptions; return also in how many descriptions what was found."""
    texts = products[["brand", "title", "description"]].fillna("")
    found = {
        "markup": int(texts["description"].str.contains(TAG).sum()),
        "entities": int(texts["description"].str.contains(ENTITY).sum()),
    }
    stripped = [strip_html(text) for text in texts["description"]]
    repaired = [repair(text) for text in stripped]
    found["mended characters"] = sum(map(ne, stripped, repaired))
    decoded = [without_codes(text) for text in repaired]
    found["codes"] = sum(map(ne, repaired, decoded))
    texts["description"] = pd.Series(map(fold, decoded), texts.index, dtype="str")
    found["empty"] = int((texts["description"] == "").sum())
    texts["title"] = texts["title"].map(clean_text)
    texts["brand"] = _each_once(texts["brand"])
    return texts, found


def _each_once(column: pd.Series) -> pd.Series:
    """Clean a column in which the same few texts return."""
    return column.map({text: clean_text(text) for text in column.unique()}).astype("str")


def _table(
    kept: pd.DataFrame,
    texts: pd.DataFrame,
    codes: NDArray[np.int16],
    groups: pd.DataFrame,
    shares: SplitParams,
    development: float,
) -> pd.DataFrame:
    """Lay out `products.parquet`."""
    keys = splits.sampling_key(kept["product_id"])
    given = kept["part"].to_numpy(str) if (kept["part"] != "").all() else None
    return pd.DataFrame(
        {
            "product_id": kept["product_id"],
            **texts[["brand", "title", "text", "masked_text"]],
            **kept[list(LEVELS)],
            **{f"{level}_code": codes[:, index] for index, level in enumerate(LEVELS)},
            "image": kept["image"],
            **groups,
            **splits.split_products(keys, groups, codes, shares, development, given),
            "sampling_key": keys,
        }
    )
