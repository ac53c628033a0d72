import hashlib
import io
import os
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.stats import binom
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score

from lib import config
from lib.analysis.pretraining import outputs, pretrain, without_head
from lib.clean.photos import decode_photo
from lib.demo_shop import generate, products, truth
from lib.demo_shop.photos import draw, placeholder, silhouettes
from lib.demo_shop.world import PLURALITY, TWIN_TERMS, counts, lexicon, make_world
from lib.features.backbones import Pretrained, build_backbone, load_backbone

SEED = 2015
ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "lib" / "demo_shop" / "weights.safetensors"


@pytest.fixture(scope="module")
def shop():
    """Records without photos, and the truth about them."""
    return list(generate(6000, SEED, photos=False)), list(truth(6000, SEED))


@pytest.fixture(scope="module")
def illustrated():
    """A small shop with photos, and the truth about it."""
    return list(generate(600, SEED)), list(truth(600, SEED))


def digest(products, seed):
    return hashlib.sha256("".join(map(repr, generate(products, seed))).encode()).hexdigest()


def decodes(photo):
    try:
        Image.open(io.BytesIO(photo)).load()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_seed_gives_the_same_bytes_in_any_process(hash_seed):
    code = """import hashlib; from lib.demo_shop import generate
print(hashlib.sha256("".join(map(repr, generate(200, 7))).encode()).hexdigest())"""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == digest(200, 7), run.stderr


def test_another_seed_gives_another_shop():
    assert next(generate(200, 1, photos=False)) != next(generate(200, 2, photos=False))


def test_a_record_does_not_depend_on_photos_being_drawn(illustrated):
    records, _ = illustrated
    for record, bare in zip(records, generate(600, SEED, photos=False), strict=True):
        assert bare.photo is None
        assert (record.product_id, record.title, record.description) == (bare.product_id, bare.title, bare.description)


@pytest.mark.parametrize("products", [200, 1500])
def test_there_are_as_many_products_as_asked_for(products):
    assert sum(1 for _ in generate(products, SEED, photos=False)) == products
    assert sum(1 for _ in truth(products, SEED)) == products


def test_products_are_made_one_by_one():
    assert next(generate(1_000_000, SEED)).product_id


def test_at_full_size_the_taxonomy_is_that_of_the_paper():
    world = make_world(750_000, SEED)
    assert (len(world.departments), len(world.types), len(world.subtypes)) == (19, 40, 270)
    assert len(world.brands) == 2700
    assert len(world.paths) == pytest.approx(1200, rel=0.05)


@pytest.mark.parametrize("products", [200, 6000, 750_000])
def test_a_world_has_no_class_without_a_path(products):
    world, size = make_world(products, SEED), counts(products)
    assert {path.department for path in world.paths} == set(range(size["level_1"]))
    assert {path.type for path in world.paths} == set(range(size["level_2"]))
    assert {path.subtype for path in world.paths} == set(range(size["level_3"]))
    assert all(world.subtypes[path.subtype].type == path.type for path in world.paths)
    assert len(set(world.paths)) == len(world.paths)


def test_demo_sizes(shop):
    records, _ = shop
    seen = [{getattr(record, level) for record in records} - {None} for level in config.LEVELS]
    assert 8 <= len(seen[0]) <= 12
    assert 20 <= len(seen[1]) <= 30
    assert 80 <= len(seen[2]) <= 120
    assert 200 <= len({(record.level_1, record.level_2, record.level_3) for record in records}) <= 400


def test_plurality_classes_are_those_of_the_paper(shop):
    _, truths = shop
    for level, share in zip(config.LEVELS, PLURALITY, strict=True):
        [(_, count)] = Counter(getattr(row, level) for row in truths).most_common(1)
        assert count / len(truths) == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("kind", products.RATES)
def test_damage_is_as_frequent_as_stated(shop, kind):
    _, truths = shop
    found = sum(kind in row.damage for row in truths)
    low, high = binom.interval(0.9999, len(truths), products.RATES[kind])
    assert low <= found <= high


def test_the_truth_is_in_the_order_of_the_records(shop):
    records, truths = shop
    assert [record.product_id for record in records] == [row.product_id for row in truths]


def test_labels_are_right_except_where_the_truth_says_so(shop):
    for record, row in zip(*shop, strict=True):
        labels = (record.level_1, record.level_2, record.level_3)
        right = (row.level_1, row.level_2, row.level_3)
        if "no_path" in row.damage:
            assert labels == (None, None, None)
        elif "no_level_2" in row.damage:
            assert labels == (right[0], None, right[2])
        else:
            assert (labels == right) == ("wrong_label" not in row.damage)


def test_wrong_labels_are_paths_of_the_taxonomy(shop):
    world = make_world(6000, SEED)
    valid = {world.names(path) for path in world.paths}
    wrong = [record for record, row in zip(*shop, strict=True) if "wrong_label" in row.damage]
    assert wrong
    assert all((record.level_1, record.level_2, record.level_3) in valid for record in wrong)


def test_fields_are_empty_where_the_truth_says_so(shop):
    for record, row in zip(*shop, strict=True):
        assert (not (record.brand or "").strip()) == ("no_brand" in row.damage)
        assert (not (record.description or "").strip()) == ("no_description" in row.damage)


def test_ids_are_repeated_where_the_truth_says_so(shop):
    seen = set()
    for record, row in zip(*shop, strict=True):
        assert (record.product_id in seen) == ("repeated_id" in row.damage)
        seen.add(record.product_id)


def test_variants_share_all_words_but_colour_and_size(shop):
    families = defaultdict(list)
    for record, row in zip(*shop, strict=True):
        if row.kind != "relisted" and "no_description" not in row.damage:
            families[row.family].append(record)
    variants = [(first, other) for first, *others in families.values() for other in others]
    assert len(variants) > 1000
    for first, other in variants:
        words = [set((record.title + " " + record.description).split()) for record in (first, other)]
        assert len(words[0] ^ words[1]) <= 8


def test_relisted_products_have_another_text_and_the_same_photo(illustrated):
    sound = [(record, row) for record, row in zip(*illustrated, strict=True) if not row.damage]
    originals = {row.family: record for record, row in sound if row.kind == "original"}
    relisted = [(record, originals.get(row.family)) for record, row in sound if row.kind == "relisted"]
    pairs = [(copy, original) for copy, original in relisted if original]
    assert pairs
    for copy, original in pairs:
        assert copy.photo == original.photo
        assert copy.title != original.title
        assert copy.description != original.description


def test_about_half_of_the_descriptions_name_their_class(shop):
    named = [
        row.level_3 in record.description.lower()
        for record, row in zip(*shop, strict=True)
        if "no_description" not in row.damage
    ]
    assert 0.35 < np.mean(named) < 0.65


def test_nearly_every_title_names_the_class(shop):
    assert all(row.level_3 in record.title for record, row in zip(*shop, strict=True))


def test_photos_decode_unless_the_truth_lists_them(illustrated):
    for record, row in zip(*illustrated, strict=True):
        if "no_photo" in row.damage:
            assert record.photo is None
        else:
            assert decodes(record.photo) != bool(products.BROKEN_PHOTOS & set(row.damage))


def test_placeholders_are_where_the_truth_says(illustrated):
    for record, row in zip(*illustrated, strict=True):
        assert (record.photo == placeholder()) == ("placeholder_photo" in row.damage)


def test_twins_differ_in_the_order_of_their_materials():
    subtypes = make_world(6000, SEED).subtypes
    shared = [(one, two) for one, two in pairwise(subtypes) if one.terms[:TWIN_TERMS] == two.terms[:TWIN_TERMS]]
    assert len(shared) > 30
    assert all(one.materials == two.materials[::-1] for one, two in shared)


def test_the_committed_network_is_small_and_beats_an_untrained_one(illustrated):
    assert WEIGHTS.stat().st_size < 2_000_000
    sound = [(record.photo, row.level_2) for record, row in zip(*illustrated, strict=True) if not row.damage]
    frequent = {name for name, count in Counter(level_2 for _, level_2 in sound).items() if count >= 15}
    photos, labels = zip(*[(photo, level_2) for photo, level_2 in sound if level_2 in frequent], strict=True)
    pixels = torch.tensor(np.stack([decode_photo(photo, 64) for photo in photos])).permute(0, 3, 1, 2)
    wanted = config.load_catalogue("demo").image
    torch.manual_seed(0)
    untrained, _ = build_backbone("small_vgg", 64)
    scores = []
    for model in (load_backbone(wanted, Pretrained(WEIGHTS)), untrained):
        table = outputs(model, pixels).numpy()
        table = (table - table.mean(0)) / (table.std(0) + 1e-6)
        scores.append(cross_val_score(RidgeClassifier(alpha=300), table, labels, cv=3).mean())
    assert scores[0] > scores[1] + 0.1


def test_training_makes_what_the_image_stage_loads(tmp_path):
    rng, labels = np.random.default_rng(SEED), torch.arange(32) % 2
    kinds = [(name, tuple(rng.random(silhouettes()[name].free))) for name in ("top", "shoe")]
    photos = [draw(*kinds[label], (200, 40, 40), "plain", rng) for label in labels]
    pixels = torch.tensor(np.stack([decode_photo(photo, 64) for photo in photos])).permute(0, 3, 1, 2)
    model, losses = pretrain(pixels, labels, small_epochs=6, full_epochs=1, batch_size=16, lr=0.005, seed=0)
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    save_file(without_head(model, "classifier.3"), tmp_path / "weights.safetensors")
    loaded = load_backbone(config.load_catalogue("demo").image, Pretrained(tmp_path / "weights.safetensors"))
    assert outputs(loaded, pixels).shape == (32, 256)


def test_at_full_size_the_plurality_classes_are_those_of_the_paper():
    world = make_world(750_000, SEED)
    steps = np.diff(world.path_steps, prepend=0)
    for level, share in enumerate(PLURALITY):
        by_class = Counter()
        for path, chance in zip(world.paths, steps, strict=True):
            by_class[path[level]] += chance
        assert by_class.most_common(1) == [(0, pytest.approx(share, abs=0.002))]


def test_the_largest_shop_has_the_papers_taxonomy_and_the_smallest_one_that_can_be_learnt():
    assert counts(1_000_000) == counts(750_000)
    assert counts(2000)["level_3"] < 100


def test_one_or_two_percent_of_labels_are_wrong():
    assert 0.01 <= products.RATES["wrong_label"] <= 0.02


def test_brand_alone_is_a_weak_but_useful_clue(shop):
    records, truths = shop
    rows = [(record.brand, row.level_2) for record, row in zip(records, truths, strict=True) if not row.damage]
    half = len(rows) // 2
    by_brand = defaultdict(Counter)
    for brand, level_2 in rows[:half]:
        by_brand[brand][level_2] += 1
    [(plurality, count)] = Counter(level_2 for _, level_2 in rows).most_common(1)
    right = np.mean(
        [
            level_2 == (by_brand[brand].most_common(1)[0][0] if brand in by_brand else plurality)
            for brand, level_2 in rows[half:]
        ]
    )
    assert count / len(rows) + 0.1 < right < 0.8


def test_some_departments_show_neither_in_text_nor_in_the_photo(shop):
    records, truths = shop
    words = lexicon().departments
    hidden = [
        not any(word in record.description for word in [row.level_1, *words[row.level_1].cues])
        for record, row in zip(records, truths, strict=True)
        if "no_description" not in row.damage
    ]
    assert 0.03 < np.mean(hidden) < 0.2  # so that no model can be right always, and most paths can be told
