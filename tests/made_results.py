"""A tiny study whose predictions are made up: what `clean` and `train` would leave, for the tests of what comes after.

300 products in near-duplicate groups of up to three, a taxonomy of 3/5/8 classes and 10 paths, two training sizes,
two seeds, and runs of every kind. `SKILL` says how much each variant knows.
"""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import yaml
from scipy.special import log_softmax

from lib import config, files
from lib.clean.splits import sampling_key, test_rows, training_rows
from lib.training import metrics
from lib.training.metrics import correctness, decode, independent, valid_path
from lib.training.runs import Run, grid

REPOSITORY = Path(__file__).parents[1]
CATALOGUE = "tiny"
CLASSES = (3, 5, 8)
PATHS = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 1, 3], [1, 2, 4], [1, 2, 0], [1, 3, 5], [2, 3, 6], [2, 4, 7], [2, 4, 1]]
SKILL = {
    "linear": 2.4,
    "linear_image": 2.0,
    "late_fusion": 3.0,
    "brand": 0.4,
    "brand_text": 2.4,
    "brand_image": 1.6,
    "brand_text_image": 3.4,
}
CHAINS = {"sequential": 1.8, "lstm": 2.6, "lstm_multitask": 2.8}
"""The models of Figures 4 and 5, for tests that ask for them."""
ROWS = 300
NETWORKS = ["brand", "brand_text", "brand_image", "brand_text_image", "sequential"]
BOTH = ["random", "grouped"]
BESIDE = [split for split in get_args(config.Split) if split not in BOTH]
"""Splits that only say whether results hang on the grouping."""


def _line(recipe: str, text: str, splits: list[str], train_sizes: str, variants: list[str], seeds: int | None = None):
    return {
        "recipes": [recipe],
        "text": text,
        "splits": splits,
        "train_sizes": train_sizes,
        "variants": variants,
        "seeds": seeds,
    }


MAIN = ["naive", "linear", "linear_image", "late_fusion", *NETWORKS]
RUNS = [
    _line("tuned", "masked", BOTH, "each", MAIN),
    _line("tuned", "plain", BOTH, "largest", [name for name in MAIN if name != "sequential"]),
    _line("tuned", "titled", BOTH, "largest", ["linear", "brand_text_image"]),
    *([_line("tuned", "masked", BESIDE, "largest", ["linear", "brand_text", "brand_text_image"])] if BESIDE else []),
    _line("tuned_lstm", "masked", BOTH, "each", ["lstm", "lstm_multitask"]),
    _line("paper", "masked", ["random"], "each", ["brand_text", "brand_text_image", "sequential"]),
    _line("paper_fixed_updates", "masked", ["random"], "each", ["brand_text"]),
    *(
        _line(f"paper_{departure}", "masked", ["random"], "second_largest", ["brand_text"], 3)
        for departure in ("stop_words", "unshuffled", "no_input_dropout", "scalar_brand", "early_stopping", "as_coded")
    ),
    _line("paper_frozen_trunk", "masked", ["random"], "second_largest", ["sequential"], 3),
    *(
        _line(recipe, "masked", ["random"], "smallest", ["lstm"], 2)
        for recipe in ("paper_lstm", "paper_lstm_stated_lr", "paper_lstm_leaked_label")
    ),
]
"""Every kind of run that the study knows, whatever `params.yaml` lists at present."""


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
    kept = [{**line, "variants": [name for name in line["variants"] if name in variants]} for line in RUNS]
    params["runs"] = {"core": [line for line in kept if line["variants"]]}
    settings = yaml.safe_load((REPOSITORY / "catalogues" / "demo.yaml").read_text("utf-8"))
    settings |= {"title": "Tiny", "shop": {"products": 200, "seed": 0}, "train_sizes": [60, "all"], "seeds": seeds}
    settings |= {"experiments": "all"}
    (root / "catalogues").mkdir(exist_ok=True)
    claims = (REPOSITORY / "claims.yaml").read_text("utf-8")
    (root / "claims.yaml").write_text(claims.replace("fewest_seeds: 5", "fewest_seeds: 2"), "utf-8")
    (root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    (root / "catalogues" / f"{CATALOGUE}.yaml").write_text(yaml.safe_dump(settings), "utf-8")


def _write_products() -> pd.DataFrame:
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(150, size=ROWS)) * 3  # with gaps in their numbers
    share = 1 / np.arange(1, len(PATHS) + 1)
    codes = np.array(PATHS, np.int16)[random.choice(len(PATHS), ROWS, p=share / share.sum())]
    table = pd.DataFrame({f"{level}_code": codes[:, i] for i, level in enumerate(config.LEVELS)})
    table["group"] = groups.astype(np.int32)
    table["sampling_key"] = sampling_key([str(row) for row in range(ROWS)])
    drawn = random.random(ROWS)
    table["random_split"] = np.select([drawn < 0.25, drawn < 0.35], ["test", "validation"], "train")
    table["grouped_split"] = np.select([groups % 4 == 0, groups % 10 == 1], ["test", "validation"], "train")
    for place, split in enumerate(BESIDE):
        table[f"{split}_split"] = np.select(
            [groups % 4 == place % 4, groups % 10 == 1], ["test", "validation"], "train"
        )
    table["fresh"] = groups % 8 == 0
    table["product_id"] = [f"p{row:03}" for row in range(ROWS)]
    table["brand"] = np.where(np.arange(ROWS) % 10, [f"brand {row % 7}" for row in range(ROWS)], "")
    table["text"] = table["masked_text"] = np.where(np.arange(ROWS) % 8, "some words", "")
    with files.whole(config.build_dir(CATALOGUE, "clean", "products.parquet")) as path:
        table.to_parquet(path)
    status = table[["product_id"]].assign(status=np.where(np.arange(ROWS) % 6, "ok", "missing"), detail="")
    with files.whole(config.build_dir(CATALOGUE, "image", "status.parquet")) as path:
        status.to_parquet(path)
    names = [[f"{level}-{code}" for code in range(count)] for level, count in enumerate(CLASSES)]
    files.write_json(config.build_dir(CATALOGUE, "clean", "taxonomy.json"), {"levels": names, "paths": PATHS})
    return table


def _write_variant(variant: str, products: pd.DataFrame, skill: float | None) -> None:
    params = config.load_params()
    model, right = params.variants[variant], {}
    decodings = model.decodings if isinstance(model, config.ChainVariant) else []
    for run in grid(variant, params, CATALOGUE):
        key, right_of_run = _make_run(variant, run, products, skill, decodings)
        right[key] = right_of_run
    with files.whole(metrics.path_of(CATALOGUE, variant)) as partial:
        metrics.write(partial, right)


def _make_run(
    variant: str, run: Run, products: pd.DataFrame, skill: float | None, decodings: list[config.Decoding]
) -> tuple[str, dict[metrics.Way, metrics.Bits]]:
    """Make up what a run says; write its predictions, and return its key and its outcomes."""
    codes = products[[f"{level}_code" for level in config.LEVELS]].to_numpy()
    test = test_rows(products, run.split)
    train, validation = training_rows(products, run.split, run.size, run.seed)
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
    chained = _chained(decodings, levels, test, train)
    for decoding, (of_test, of_train) in chained.items():
        arrays |= {f"test_{decoding}": of_test[:, None], f"train_{decoding}": of_train}
    rows = {f"{part}_rows": of.astype(np.int32) for part, of in {**parts, "train": train}.items()}
    key, paths = run.key(len(train)), np.array(PATHS, np.int16)
    path = config.build_dir(CATALOGUE, "predictions", variant, f"{key}.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, train_predicted=predicted, **rows, **arrays)
    said = {
        "test": decode([level[test] for level in levels], paths) | {name: both[0] for name, both in chained.items()},
        "train": {"independent": predicted} | {name: both[1] for name, both in chained.items()},
    }
    of_rows = {"test": test, "train": train}
    truth = {part: codes[numbers] for part, numbers in of_rows.items()}
    right = {
        metrics.Way(name, part): metrics.pack(correctness(found, truth[part], paths), of_rows[part])
        for part, decoded in said.items()
        for name, found in decoded.items()
    }
    return key, right


def _chained(
    decodings: list[config.Decoding], levels: list[np.ndarray], test: np.ndarray, train: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Decode a chain in its ways: soft finds the best valid path, and the others take each level on its own."""
    paths = {"hard": independent(levels), "soft": valid_path(levels, np.array(PATHS))}
    return {name: (paths.get(name, paths["hard"])[test], paths.get(name, paths["hard"])[train]) for name in decodings}


def _log_probabilities(
    codes: np.ndarray, train_codes: np.ndarray, level: int, skill: float | None, random: np.random.Generator
) -> np.ndarray:
    """Noise, and a bonus for the true class; without skill, how often each class occurs in training."""
    if skill is None:
        logits = np.tile(np.log(np.bincount(train_codes, minlength=CLASSES[level]) + 1e-3), (len(codes), 1))
    else:
        logits = random.normal(size=(len(codes), CLASSES[level])) + skill * np.eye(CLASSES[level])[codes]
    return log_softmax(logits, axis=1).astype(np.float16)
