"""The `clean` stage: raw products become texts, classes, near-duplicate groups and splits."""

import html
import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from operator import ne
from typing import Any

import ftfy
import numpy as np
import pandas as pd
from lxml import etree
from lxml.html import HTMLParser, fragment_fromstring
from numpy.typing import NDArray

from lib import config, files, schemas
from lib.clean import splits
from lib.clean.duplicates import near_duplicate_groups, photo_hashes
from lib.clean.masking import Masker
from lib.config import LEVELS, SplitParams
from lib.exceptions import StudyError

_TAG = re.compile(r"</?[a-zA-Z]|<[!?]")
_ENTITY = re.compile(r"&(?:[a-zA-Z]{2,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
_BLOCK = re.compile(
    r"(?=</?(?:address|article|aside|blockquote|br|caption|center|dd|div|dl|dt|fieldset|figure|figcaption|footer|form"
    r"|h[1-6]|header|hr|legend|li|main|nav|ol|option|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)\b)",
    re.IGNORECASE,
)
_MAX_ESCAPES = 3  # times that markup may have been escaped


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
        Descriptions by what was found in them: `markup`, `entities`, `mended characters`, `empty`, `unspecific` (too
        few phrases of their own to look for near-duplicates); and texts that are `empty once masked`.
    common_brands, common_share
        Share of the descriptions' three-word phrases that more than so many brands use. They stay in the texts.
    removed_words
        How often each word of the taxonomy was removed, in falling order.
    linked
        Products that are linked to a near-duplicate, by what is alike.
    """

    rows_in: int
    rows_out: int
    rejects: dict[str, int]
    texts: dict[str, int]
    common_brands: int
    common_share: float
    removed_words: dict[str, int]
    linked: dict[str, int]


def clean(name: str) -> Summary:
    """Make `build/NAME/clean/` from `build/NAME/raw/`, whole or not at all.

    Raises
    ------
    StudyError
        If raw products are missing or not in their form, if too many of them have no complete category path, or if a
        level has a single class.
    """
    params, catalogue = config.load_params(), config.load_catalogue(name)
    raw = schemas.read_table(config.build_dir(name, "raw", "products.parquet"), schemas.RAW_PRODUCTS)
    raw = raw.sort_values("product_id", ignore_index=True)
    raw = raw.assign(**{level: _each_once(raw[level].fillna("")) for level in LEVELS})
    rejects = find_rejects(raw, name, params.clean.max_reject_share)
    kept = raw[~raw["product_id"].isin(rejects["product_id"])].reset_index(drop=True)
    taxonomy, codes = encode_levels(kept, name)
    texts, found = clean_texts(kept)
    photos = photo_hashes(config.build_dir(name, "raw", "images.zip"), kept["image"].tolist())
    groups = near_duplicate_groups(texts, photos, params.clean)
    texts["text"] = [fold(" ".join(parts)) for parts in zip(*(texts[part] for part in catalogue.text), strict=True)]
    masked, removed = Masker(chain(*taxonomy["levels"])).mask_all(texts["text"])
    texts["masked_text"] = pd.Series(masked, dtype="str")
    products = _table(kept, texts, codes, groups.group, params.split)
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
        common_brands=groups.common_brands,
        common_share=groups.common_share,
        removed_words=dict(sorted(removed.items(), key=lambda item: (-item[1], item[0]))),
        linked=groups.linked,
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
        raise StudyError(
            f"The catalogue '{name}' has {int(rows.sum()):,} of {len(raw):,} products without a complete category "
            f"path. Expected at most {max_share:.1%} (clean.max_reject_share), found {share:.1%}."
        )
    return (
        pd.DataFrame({"product_id": raw.loc[rows, "product_id"], "reason": "incomplete path", "detail": detail})
        .astype("str")
        .reset_index(drop=True)
    )


def encode_levels(products: pd.DataFrame, name: str) -> tuple[dict[str, list[Any]], NDArray[np.int16]]:
    """Make the taxonomy (`levels` and valid `paths`) and each product's codes, shape (rows, 3).

    Raises
    ------
    StudyError
        If a level has a single class: there is nothing to predict.
    """
    levels = [sorted(products[level].unique().tolist()) for level in LEVELS]
    for level, names in zip(LEVELS, levels, strict=True):
        if len(names) < 2:
            raise StudyError(
                f"The catalogue '{name}' has the single class {names} in {level}. Expected two or more: "
                f"with one there is nothing to predict. Look at catalogues/{name}.yaml, columns.{level}."
            )
    encoded = [pd.Categorical(products[level], names).codes for level, names in zip(LEVELS, levels, strict=True)]
    codes = np.stack(encoded, axis=1).astype(np.int16)
    return {"levels": levels, "paths": np.unique(codes, axis=0).tolist()}, codes


def clean_texts(products: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Clean brands, titles and descriptions; return also in how many descriptions what was found."""
    texts = products[["brand", "title", "description"]].fillna("")
    found = {
        "markup": int(texts["description"].str.contains(_TAG).sum()),
        "entities": int(texts["description"].str.contains(_ENTITY).sum()),
    }
    stripped = [strip_html(text) for text in texts["description"]]
    repaired = [repair(text) for text in stripped]
    found["mended characters"] = sum(map(ne, stripped, repaired))
    texts["description"] = pd.Series(map(fold, repaired), texts.index, dtype="str")
    found["empty"] = int((texts["description"] == "").sum())
    texts["title"] = texts["title"].map(clean_text)
    texts["brand"] = _each_once(texts["brand"])
    return texts, found


def clean_text(text: str) -> str:
    """Return the words that a reader of a text sees, in one line.

    >>> clean_text("<p>Soft&nbsp;<b>cot</b>ton,<br/>it&#39;s cosy</p><script>x()</script>")
    "Soft cotton, it's cosy"
    """
    return fold(repair(strip_html(text)))


def strip_html(text: str) -> str:
    """Take away markup, scripts and styles, and resolve entities; markup that was escaped goes as well.

    The element that a tag makes decides what is left of it: a block is parted from its surroundings, a phrase is not.
    """
    for _ in range(_MAX_ESCAPES):
        if _TAG.search(text):
            source = _BLOCK.sub(" ", _CONTROL.sub(" ", text)).encode("utf-8", "replace")
            root = fragment_fromstring(source, create_parent="div", parser=HTMLParser(encoding="utf-8"))
            etree.strip_elements(root, "script", "style", etree.Comment, etree.ProcessingInstruction, with_tail=False)
            text = str(root.text_content())
        elif _ENTITY.search(text):
            text = html.unescape(text)
        else:
            break
    return text


def repair(text: str) -> str:
    """Mend broken encodings and typographic quotes (ftfy); drop control characters and invisible ones."""
    text = _CONTROL.sub(" ", text)
    return text if text.isascii() else _INVISIBLE.sub("", ftfy.fix_text(text, unescape_html=False))


def fold(text: str) -> str:
    """Make any white space one space, and none at the ends."""
    return " ".join(text.split())


def _each_once(column: pd.Series) -> pd.Series:
    """Clean a column in which the same few texts return."""
    return column.map({text: clean_text(text) for text in column.unique()}).astype("str")


def _table(
    kept: pd.DataFrame, texts: pd.DataFrame, codes: NDArray[np.int16], group: NDArray[np.int32], shares: SplitParams
) -> pd.DataFrame:
    """Lay out `products.parquet`."""
    keys = splits.sampling_key(kept["product_id"])
    return pd.DataFrame(
        {
            "product_id": kept["product_id"],
            **texts[["brand", "title", "text", "masked_text"]],
            **kept[list(LEVELS)],
            **{f"{level}_code": codes[:, index] for index, level in enumerate(LEVELS)},
            "image": kept["image"],
            "group": group,
            "random_split": splits.random_split(keys, shares),
            "grouped_split": splits.grouped_split(keys, group, shares),
            "sampling_key": keys,
        }
    )
