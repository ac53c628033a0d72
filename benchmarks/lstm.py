"""Rows a second in training one LSTM with three heads: ours, against the same network written plainly in Lightning.

The plain one is what one would write first: texts padded to 100 in a `TensorDataset`, a shuffling `DataLoader`,
`nn.Embedding`, `nn.LSTM`, a mean over the true length, and PyTorch's optimizer over everything. Both train on the same
rows with the same recipe, in turns, on the same threads, and are measured on the same held-out rows. A text's words
depend on its class. Texts are about as long and words as rare as in a catalogue. Processor time is counted, of all
threads, so that other work on the machine has little say.

    python benchmarks/lstm.py [--rows 6000] [--epochs 3] [--rounds 1] [--threads 1]
        [--batch-size 64] [--optimizer adamw]
"""

import argparse
import logging
import time
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lib.config import load_params
from lib.models.base import Settings
from lib.models.inputs import Inputs, Ragged
from lib.models.lstm import OWN_TOKENS, MultitaskLSTM, Tokens
from lib.training.loop import fit_network

WORDS, CLASSES, SIZE, LONGEST = 50_000, [9, 45, 141], 128, 100
LENGTH_SHAPE, LENGTH_SCALE = 2.0, 15.0  # gamma: 30 words on average, few texts over 100
TELLING = 0.15  # share of the words that depend on the class


class PlainLSTM(pl.LightningModule):
    """The same network over padded texts."""

    def __init__(self, recipe):
        super().__init__()
        self.recipe = recipe
        self.embedding = nn.Embedding(WORDS + OWN_TOKENS, SIZE)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.lstm = nn.LSTM(SIZE, SIZE, batch_first=True)
        self.dropout = nn.Dropout(recipe.hidden_dropout)
        self.heads = nn.ModuleList(nn.Linear(SIZE, classes) for classes in CLASSES)
        for head in self.heads:
            nn.init.xavier_uniform_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, tokens, lengths):
        """Return each level's logits."""
        outputs = self.lstm(self.embedding(tokens))[0]
        inside = torch.arange(tokens.shape[1]) < lengths[:, None]
        mean = (outputs * inside[:, :, None]).sum(1) / lengths[:, None]
        hidden = self.dropout(mean)
        return [head(hidden) for head in self.heads]

    def training_step(self, batch, batch_idx):
        """Return the summed cross-entropy."""
        tokens, lengths, codes = batch
        return sum(nn.functional.cross_entropy(z, y) for z, y in zip(self(tokens, lengths), codes.T, strict=True))

    def configure_optimizers(self):
        """Use the recipe's optimizer."""
        if self.recipe.optimizer == "adadelta":
            return torch.optim.Adadelta(self.parameters(), lr=self.recipe.lr, rho=0.95)
        return torch.optim.AdamW(self.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)


def make_rows(rows):
    """Draw texts: most words from one Zipf distribution, some from one of their class's own."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, classes, rows) for classes in CLASSES], axis=1)
    lengths = np.minimum(1 + rng.gamma(LENGTH_SHAPE, LENGTH_SCALE, rows).astype(int), LONGEST)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    popularity = 1 / np.arange(1, WORDS + 1)
    ids = rng.choice(WORDS, indptr[-1], p=popularity / popularity.sum())
    telling = rng.random(len(ids)) < TELLING
    level = rng.integers(0, 3, len(ids))
    of_class = np.repeat(codes, lengths, axis=0)[np.arange(len(ids)), level]
    own = 1000 + 10 * (np.cumsum([0, *CLASSES[:2]])[level] + of_class) + rng.integers(0, 10, len(ids))
    tokens = torch.from_numpy(np.where(telling, own, ids) + OWN_TOKENS)
    return Ragged(torch.from_numpy(indptr), tokens, padded=True), codes


def some(tokens, codes, rows):
    """Return some rows as a network reads them."""
    padded, lengths = tokens.rows(torch.from_numpy(rows)) if len(rows) else (tokens.ids[:0, None], tokens.ids[:0])
    inside = torch.arange(padded.shape[1]) < lengths[:, None]
    ragged = Ragged(torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]), padded[inside], padded=True)
    return Inputs(torch.from_numpy(codes[rows]), {"text": ragged})


def accuracy(levels, codes):
    return float(np.mean([level.argmax(1) == codes[:, i] for i, level in enumerate(levels)]))


def ours(tokens, codes, train, test, recipe):
    torch.manual_seed(0)
    params, words = load_params(), Tokens(WORDS, LONGEST, "none", None)
    words.vocabulary = [f"word {number}" for number in range(WORDS)]
    variant = params.variants["lstm_multitask"].model_copy(update={"inputs": ["text"]})
    network = MultitaskLSTM(Settings(variant, recipe, params.text, CLASSES), {"text": words})
    of_train, nothing = some(tokens, codes, train), some(tokens, codes, train[:0])
    start = time.process_time()
    fit_network(network, of_train, nothing, recipe, seed=0, accelerator="cpu")
    seconds = time.process_time() - start
    with torch.inference_mode():
        levels = [level.numpy() for level in network.eval()(some(tokens, codes, test).batch(torch.arange(len(test))))]
    return len(train) * recipe.epochs / seconds, accuracy(levels, codes[test])


def plain(tokens, codes, train, test, recipe):
    torch.manual_seed(0)
    padded, lengths = tokens.rows(torch.arange(len(codes)))
    padded = nn.functional.pad(padded, (0, LONGEST - padded.shape[1]))
    data = TensorDataset(padded[train], lengths[train], torch.from_numpy(codes[train]))
    loader = DataLoader(data, batch_size=recipe.batch_size, shuffle=True)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(accelerator="cpu", devices=1, max_epochs=recipe.epochs, **dict.fromkeys(quiet, False))
    module = PlainLSTM(recipe)
    start = time.process_time()
    trainer.fit(module, loader)
    seconds = time.process_time() - start
    with torch.inference_mode():
        levels = [level.numpy() for level in module.eval()(padded[test], lengths[test])]
    return len(train) * recipe.epochs / seconds, accuracy(levels, codes[test])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads for each (the study trains with one a run)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--optimizer", choices=["adamw", "adadelta"], default="adamw")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    changes = {name: vars(arguments)[name] for name in ("epochs", "batch_size", "optimizer")}
    changes |= {"min_updates": 0, "patience": None, "schedule": "constant"}
    changes |= {"lr": 1.0} if arguments.optimizer == "adadelta" else {"lr": 0.003, "weight_decay": 0.01}
    recipe = load_params().recipes["tuned"].model_copy(update=changes)
    tokens, codes = make_rows(arguments.rows + 1000)
    train, test = np.split(np.arange(arguments.rows + 1000), [arguments.rows])
    warm = recipe.model_copy(update={"epochs": 1})
    ours(tokens, codes, train[:128], test, warm)  # imports and first calls
    plain(tokens, codes, train[:128], test, warm)
    turns = [
        (ours(tokens, codes, train, test, recipe), plain(tokens, codes, train, test, recipe))
        for _ in range(arguments.rounds)
    ]
    table = np.median(turns, axis=0)
    print(
        f"{arguments.rows:,} rows, batches of {recipe.batch_size}, {arguments.optimizer}, {arguments.threads} thread(s)"
    )
    for name, (rate, right) in zip(("ours", "plain"), table, strict=True):
        print(f"{name:6} {rate:10,.0f} rows/s of processor time   accuracy on {len(test)} other rows {right:.3f}")
    print(f"ratio  {table[0, 0] / table[1, 0]:10.1f}")


if __name__ == "__main__":
    main()
