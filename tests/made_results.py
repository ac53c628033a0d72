"""A tiny study whose predictions are made up: what `clean` and `train` would leave, for the tests of what comes after.

300 products in near-duplicate groups of up to three, a taxonomy of 3/5/8 classes and 10 paths, two training sizes,
two seeds, both splits, both texts and both recipes. `SKILL` says how much each variant knows.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.special import log_softmax

from lib import artifacts, config
from lib.evaluate import run_records
from lib.runs import Run, grid

REPOSITORY = Path(__file__).parents[1]
CATALOGUE = "tiny"
CLASSES = (3, 5, 8)
PATHS = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 1, 3], [1, 2, 4], [1, 2, 0], [1, 3, 5], [2, 3, 6], [2, 4, 7], [2, 4, 1]]
SKILL = {"linear": 2.4, "brand": 0.4, "brand_text": 2.4, "brand_image": 1.6, "brand_text_image": 3.4}
ROWS = 300
VALIDATION = 30


def make_study(root: Path, skill: dict[str, float] | None = None, seeds: int = 2) -> str:
    """Write the study below `root` (the STUDY_ROOT of the test) and return its catalogue's name."""
    skill = skill or SKILL
    _write_settings(root, ["naive", *skill], seeds)
    products = _write_products()
    for variant in ("naive", *skill):
        _write_variant(variant, products, skill.get(variant))
    return CATALOGUE


def _write_settings(root: Path, variants: list[str], seeds: int) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text("utf-8"))
    params["study"] = {CATALOGUE: {"source": "params.yaml"}}
    params["variants"] = {name: settings for name, settings in params["variants"].items() if name in variants}
    params["runs"] = [line for line in params["runs"] if set(line.get("variants", [])) <= set(variants)]
    settings = yaml.safe_load((REPOSITORY / "catalogues" / "demo.yaml").read_text("utf-8"))
    settings |= {"title": "Tiny", "shop": {"products": 200, "seed": 0}, "train_sizes": [60, "all"], "seeds": seeds}
    (root / "catalogues").mkdir(exist_ok=True)
    (root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    (root / "catalogues" / f"{CATALOGUE}.yaml").write_text(yaml.safe_dump(settings), "utf-8")


def _write_products() -> pd.DataFrame:
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(150, size=ROWS)) * 3  # with gaps in their numbers
    share = 1 / np.arange(1, len(PATHS) + 1)
    codes = np.array(PATHS, np.int16)[random.choice(len(PATHS), ROWS, p=share / share.sum())]
    table = pd.DataFrame({f"{level}_code": codes[:, i] for i, level in enumerate(config.LEVELS)})
    table["group"] = groups.astype(np.int32)
    table["random_split"] = np.where(random.random(ROWS) < 0.25, "test", "train")
    table["grouped_split"] = np.where(groups % 4 == 0, "test", "train")
    table["product_id"] = [f"p{row:03}" for row in range(ROWS)]
    table["brand"] = np.where(np.arange(ROWS) % 10, [f"brand {row % 7}" for row in range(ROWS)], "")
    table["text"] = table["masked_text"] = np.where(np.arange(ROWS) % 8, "some words", "")
    with artifacts.whole(config.build_dir(CATALOGUE, "clean", "products.parquet")) as path:
        table.to_parquet(path)
    status = table[["product_id"]].assign(status=np.where(np.arange(ROWS) % 6, "ok", "missing"), detail="")
    with artifacts.whole(config.build_dir(CATALOGUE, "image", "status.parquet")) as path:
        status.to_parquet(path)
    names = [[f"{level}-{code}" for code in range(count)] for level, count in enumerate(CLASSES)]
    artifacts.write_json(config.build_dir(CATALOGUE, "clean", "taxonomy.json"), {"levels": names, "paths": PATHS})
    return table


def _write_variant(variant: str, products: pd.DataFrame, skill: float | None) -> None:
    params = config.load_params()
    records = []
    for run in grid(variant, params, config.load_catalogue(CATALOGUE)):
        records += _write_run(variant, run, products, skill)
    artifacts.write_json(config.report_dir(CATALOGUE, "metrics", f"{variant}.json"), records)


def _write_run(
    variant: str, run: Run, products: pd.DataFrame, skill: float | None
) -> list[dict[str, str | int | float]]:
    codes = products[[f"{level}_code" for level in config.LEVELS]].to_numpy()
    test = np.flatnonzero(products[f"{run.split}_split"] == "test")
    drawn = np.random.default_rng(run.seed).permutation(np.flatnonzero(products[f"{run.split}_split"] == "train"))
    validation, train = np.split(drawn, [VALIDATION])
    train = np.sort(train[: None if run.size == "all" else int(run.size)])
    if skill is not None:
        skill *= (
            (0.7 + 0.3 * (run.size == "all")) * (1.2 if run.text == "plain" else 1) * (run.split == "random" or 0.9)
        )
    random = np.random.default_rng([run.seed, len(train), *variant.encode(), *run.recipe.encode()])
    levels = [_log_probabilities(codes[:, level], codes[train, level], level, skill, random) for level in range(3)]
    predicted = np.stack([level[train].argmax(axis=1) for level in levels], axis=1).astype(np.int16)
    predicted[::2] = codes[train[::2]]  # half of the training rows are known by heart
    parts = {"test": test, "validation": validation}
    arrays = {f"{part}_{level}": array[of] for part, of in parts.items() for level, array in enumerate(levels)}
    rows = {f"{part}_rows": of.astype(np.int32) for part, of in {**parts, "train": train}.items()}
    path = config.build_dir(CATALOGUE, "predictions", variant, f"{run.key(len(train))}.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, train_predicted=predicted, **rows, **arrays)
    columns = run.columns(variant, len(train))
    paths = np.array(PATHS, np.int16)
    return run_records(columns, [level[test] for level in levels], codes[test], predicted, codes[train], paths)


def _log_probabilities(
    codes: np.ndarray, train_codes: np.ndarray, level: int, skill: float | None, random: np.random.Generator
) -> np.ndarray:
    """Noise, and a bonus for the true class; without skill, how often each class occurs in training."""
    if skill is None:
        logits = np.tile(np.log(np.bincount(train_codes, minlength=CLASSES[level]) + 1e-3), (len(codes), 1))
    else:
        logits = random.normal(size=(len(codes), CLASSES[level])) + skill * np.eye(CLASSES[level])[codes]
    return log_softmax(logits, axis=1).astype(np.float16)
