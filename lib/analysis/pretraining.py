"""How the demo shop's image network was trained, on what the shop does not sell, and what one input alone can tell.

Both are of notebook A1. The network is trained on photos of other shapes, and then judged by linear classifiers that
see its vectors of the shop's photos, beside those that see the brand or the plain pixels.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from lib.config import LEVELS
from lib.evaluation.bootstrap import CONFIDENCE, Interval
from lib.features.backbones import Pretrained, SmallVGG

TEST_SHARE = 0.25
PENALTY, IMAGE_PENALTY = 1.0, 300.0
"""Ridge penalties: of the brand, whose columns are left as they are, zeros and ones; of all other inputs, whose columns
are standardised."""


def inputs(photos: Tensor, shrink: int = 1) -> Tensor:
    """Normalise decoded photos, uint8 (photos, 3, side, side), as the `image` stage does; `shrink` divides the side."""
    defaults = Pretrained._field_defaults
    mean, std = (torch.tensor(defaults[name]).view(3, 1, 1) for name in ("mean", "std"))
    small = F.avg_pool2d((photos.float() / 255 - mean) / std, shrink)
    return small.contiguous(memory_format=torch.channels_last)


def outputs(network: nn.Module, photos: Tensor) -> Tensor:
    """Return what a network says of decoded photos."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(inputs(part)) for part in torch.split(photos, 100)])


def pretrain(
    photos: Tensor, labels: Tensor, *, small_epochs: int, full_epochs: int, batch_size: int, lr: float, seed: int
) -> tuple[nn.Module, list[float]]:
    """Train a `SmallVGG` to tell classes apart; return it, and the loss of every update.

    Parameters
    ----------
    small_epochs, full_epochs
        Epochs that see photos at half their side, which costs a quarter of the time, and epochs that see them whole.
    """
    torch.manual_seed(seed)
    model = SmallVGG(int(labels.max()) + 1).to(memory_format=torch.channels_last)
    plan = [2] * small_epochs + [1] * full_epochs
    batches = len(photos) // batch_size
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=len(plan) * batches)
    losses = []
    for shrink in tqdm(plan, desc="epochs"):
        model.train()
        order = torch.randperm(len(photos))[: batches * batch_size]
        for rows in tqdm(order.view(batches, -1), desc="updates", leave=False):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(inputs(photos[rows], shrink)).float()
            loss = F.cross_entropy(logits, labels[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return model.eval(), losses


def without_head(model: nn.Module, head: str) -> dict[str, Tensor]:
    """Return a network's parameters in half precision, without those of the layer `head`."""
    return {
        name: value.half().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(head) and value.is_floating_point()
    }


def probe(
    features: Mapping[str, NDArray[np.floating]], products: pd.DataFrame, sizes: Sequence[int], seeds: int
) -> pd.DataFrame:
    """Measure how often each input alone tells each level, by a linear classifier.

    Every seed draws its own test products and an order of the others, of which a training size takes the first. All
    variants of a product are in the test part, or none. All inputs see the same products.

    Parameters
    ----------
    features
        A table for each input, with a row for each product.
    products
        Columns `family` and `level_1` to `level_3`.
    sizes
        How many products to learn from.
    seeds
        How many draws.

    Returns
    -------
    DataFrame
        Accuracies in columns `level_1` to `level_3` and `mean`, by `seed`, `train_size` and `input`.
    """
    rows, families = [], products["family"].to_numpy()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        names = rng.permutation(np.unique(families))
        test = np.isin(families, names[: int(len(names) * TEST_SHARE)])
        order = rng.permutation(np.flatnonzero(~test))
        for size, (name, X) in product(sizes, features.items()):
            standardised = make_pipeline(StandardScaler(), RidgeClassifier(alpha=IMAGE_PENALTY))
            model = RidgeClassifier(alpha=PENALTY) if name == "brand" else standardised
            train, labels = order[:size], [products[level].to_numpy() for level in LEVELS]
            scores = [model.fit(X[train], y[train]).score(X[test], y[test]) for y in labels]
            rows.append((seed, size, name, *scores, np.mean(scores)))
    columns = ["seed", "train_size", "input", *LEVELS, "mean"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:3])


def interval(values: NDArray[np.floating]) -> Interval:
    """Return the mean of some draws and its 95% interval by Student's t.

    >>> interval(np.array([0.1, 0.2, 0.3])).mean.round(3)
    np.float64(0.2)
    """
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, np.mean(values), stats.sem(values))
    return Interval(np.mean(values), low, high)
