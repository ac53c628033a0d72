"""Rows a second in training `brand_text`: ours, against the same network written plainly in Lightning.

The plain one is what one would write first: brand and bag of words as one dense matrix in a `TensorDataset`, a
shuffling `DataLoader`, and `nn.Linear` layers. Both train on the same rows (as many, as sparse and with as many classes
as `fashion`) with the same recipe and batch size, in turns. The ratio counts; the rows a second depend on the machine.

    python benchmarks/training.py [--rows 30000] [--epochs 2] [--rounds 3] [--threads 1]
"""

import argparse
import logging
import resource
import time
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from scipy import sparse
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lib.config import load_params
from lib.models.base import Settings
from lib.models.inputs import Bag, Categories, Inputs, Ragged
from lib.models.mlp import MultitaskMLP
from lib.training.loop import fit_network

BRANDS, WORDS, WORDS_IN_A_ROW, CLASSES = 420, 5000, 30, [9, 45, 141]


class PlainMLP(pl.LightningModule):
    """The multitask MLP over a dense matrix."""

    def __init__(self, recipe):
        super().__init__()
        self.recipe = recipe
        width, layers = BRANDS + WORDS, [nn.Dropout(recipe.input_dropout)]
        for _ in range(3):
            layers += [nn.Linear(width, 256), nn.ReLU(), nn.Dropout(recipe.hidden_dropout)]
            width = 256
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(256, classes) for classes in CLASSES)

    def training_step(self, batch, batch_idx):
        """Return the summed cross-entropy."""
        X, codes = batch
        hidden = self.trunk(X)
        return sum(nn.functional.cross_entropy(head(hidden), codes[:, i]) for i, head in enumerate(self.heads))

    def configure_optimizers(self):
        """Use the recipe's AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)


def make_rows(rows):
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, WORDS + 1)
    words = rng.choice(WORDS, (rows, WORDS_IN_A_ROW), p=popularity / popularity.sum())
    indptr = np.arange(rows + 1) * WORDS_IN_A_ROW
    bag = sparse.csr_array((np.ones(words.size, np.float32), words.ravel(), indptr), shape=(rows, WORDS))
    bag.sum_duplicates()
    bag.data[:] = 1
    brand = rng.integers(1, BRANDS + 1, rows)
    codes = np.stack([rng.integers(0, classes, rows) for classes in CLASSES], axis=1)
    return brand, bag, codes


def time_ours(brand, bag, codes, recipe):
    encoders = {"brand": Categories("brand"), "text": Bag(WORDS, "none")}
    encoders["brand"].values = [f"brand {number}" for number in range(BRANDS)]
    encoders["text"].vocabulary = [f"word {number}" for number in range(WORDS)]
    params = load_params()
    network = MultitaskMLP(Settings(params.variants["brand_text"], recipe, params.text, CLASSES), encoders)
    words = Ragged(*(torch.from_numpy(array.astype(np.int64)) for array in (bag.indptr, bag.indices)), padded=False)
    inputs = Inputs(torch.from_numpy(codes), {"brand": torch.from_numpy(brand), "text": words})
    nothing = Inputs(inputs.codes[:0], {})
    start = time.perf_counter()
    fit_network(network, inputs, nothing, recipe, seed=0, accelerator="cpu")
    return time.perf_counter() - start


def time_plain(dense, codes, recipe):
    data = DataLoader(TensorDataset(dense, codes), batch_size=recipe.batch_size, shuffle=True)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(accelerator="cpu", devices=1, max_epochs=recipe.epochs, **quiet)
    module = PlainMLP(recipe)
    start = time.perf_counter()
    trainer.fit(module, data)
    return time.perf_counter() - start


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="threads for each (the study trains with one a run)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    tuned = load_params().recipes["tuned"]
    changes = {"epochs": arguments.epochs, "min_updates": 0, "patience": None, "schedule": "constant"}
    recipe = tuned.model_copy(update=changes)
    brand, bag, codes = make_rows(arguments.rows)
    ours, plain = [], []
    rows = arguments.rows * arguments.epochs
    time_ours(brand[:1000], bag[:1000], codes[:1000], recipe)  # imports and first calls
    for _ in range(arguments.rounds):
        ours.append(rows / time_ours(brand, bag, codes, recipe))
    ours_peak = peak_gib()
    dense = torch.from_numpy(np.hstack([np.eye(BRANDS + 1, dtype=np.float32)[brand][:, 1:], bag.toarray()]))
    for _ in range(arguments.rounds):
        plain.append(rows / time_plain(dense, torch.from_numpy(codes), recipe))
        ours.append(rows / time_ours(brand, bag, codes, recipe))
    print(f"{arguments.rows:,} rows, batches of {recipe.batch_size}, {arguments.threads} thread(s), medians")
    print(f"plain  {np.median(plain):10,.0f} rows/s   peak {peak_gib():.2f} GiB (after both)")
    print(f"ours   {np.median(ours):10,.0f} rows/s   peak {ours_peak:.2f} GiB")
    print(f"ratio  {np.median(ours) / np.median(plain):10.1f}")


if __name__ == "__main__":
    main()
