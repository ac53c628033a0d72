"""The training loop, by PyTorch Lightning: epochs, optimizer, schedule, early stopping, checkpoints, history."""

import logging
import warnings
from collections.abc import Callable
from copy import deepcopy
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.utilities import move_data_to_device

from lib.config import Recipe
from lib.exceptions import StudyError
from lib.models.base import Network
from lib.models.inputs import Batch, Batches, Inputs

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # hundreds of short fits need no banner each
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated", FutureWarning)  # by Lightning

MONITORED = "validation_accuracy"  # mean of the levels, the paper's number
UPDATES_BETWEEN_CHECKPOINTS = 2000  # some ten seconds of work are lost at most when a run is killed


def fit_network(
    network: Network,
    train: Inputs,
    held: Inputs,
    recipe: Recipe,
    seed: int,
    accelerator: str = "auto",
    checkpoint_dir: Path | None = None,
) -> list[dict[str, Any]]:
    """Train a network in place; with a patience, end with the weights of the highest validation accuracy.

    Parameters
    ----------
    train, held : Inputs
        Training and validation rows. Where there are none of the latter, training goes on to its end.
    checkpoint_dir : Path, optional
        Where the last checkpoint is kept. If there is one, training goes on from it, to the same result.

    Returns
    -------
    list of dict
        For each epoch `epoch` (from 1), `loss` (mean of the batches), `lr` (after its last update) and
        `validation_accuracy` (mean of the levels; None where it was not looked at).
    """
    module = _Classifier(network, train, held, recipe, seed)
    callbacks: list[Callback] = []
    stops, resume = recipe.patience is not None and len(held) > 0, None
    if recipe.patience is not None and stops:
        callbacks += [_BestWeights(), EarlyStopping(MONITORED, patience=recipe.patience, mode="max")]
    if checkpoint_dir is not None:
        every = ceil(UPDATES_BETWEEN_CHECKPOINTS / module.updates_per_epoch)
        options: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
        callbacks.append(ModelCheckpoint(checkpoint_dir, filename="last", every_n_epochs=every, **options))
        resume = checkpoint if (checkpoint := checkpoint_dir / "last.ckpt").exists() else None
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=module.epochs,
        check_val_every_n_epoch=module.epochs_between_validations,
        limit_val_batches=1.0 if stops else 0,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,
        enable_checkpointing=checkpoint_dir is not None,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, ckpt_path=resume, weights_only=True)
    network.eval()
    return module.history


class _BestWeights(Callback):
    """Keeps the weights of the highest validation accuracy, also in checkpoints, and puts them back at the end."""

    def __init__(self) -> None:
        self.accuracy = -1.0
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        accuracy = float(trainer.callback_metrics[MONITORED])
        if accuracy > self.accuracy:
            self.accuracy, self.weights = accuracy, deepcopy(pl_module.state_dict())

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.weights:
            pl_module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.accuracy, self.weights = state_dict["accuracy"], state_dict["weights"]


class _Classifier(pl.LightningModule):
    """Connects a network, its rows and a recipe to Lightning.

    Batch order and dropout are drawn anew in every epoch from (seed, epoch), so that a resumed training
    draws what it would have drawn.
    """

    def __init__(self, network: Network, train: Inputs, held: Inputs, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.network, self.inputs, self.held, self.recipe, self.seed = network, train, held, recipe, seed
        rows, size = len(train), recipe.batch_size
        self.updates_per_epoch = rows // size if recipe.drop_last else ceil(rows / size)
        if not self.updates_per_epoch:
            raise StudyError(
                f"A recipe with 'drop_last: true' needs at least one full batch of training rows: "
                f"its batch_size is {size}. Found {rows} rows."
            )
        self.epochs = max(recipe.epochs, ceil(recipe.min_updates / self.updates_per_epoch))
        self.epochs_between_validations = ceil(recipe.validate_every / self.updates_per_epoch)
        self.correct: list[torch.Tensor] = []
        self.losses: list[torch.Tensor] = []
        self.accuracy: float | None = None
        self.history: list[dict[str, Any]] = []

    def train_dataloader(self) -> Batches:
        recipe = self.recipe
        seed = self._epoch_seed() if recipe.shuffle else None
        return Batches(self.inputs, recipe.batch_size, seed, by_length=recipe.shuffle, drop_last=recipe.drop_last)

    def val_dataloader(self) -> Batches:
        return Batches(self.held, self.network.rows_at_once)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch  # the inputs went there as a whole

    def on_fit_start(self) -> None:
        self.inputs, self.held = move_data_to_device((self.inputs, self.held), self.device)

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(self._epoch_seed())

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = self.network.loss(batch)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.correct.append((self.network.predict(batch) == batch.codes).sum())

    def on_validation_epoch_end(self) -> None:
        accuracy = torch.stack(self.correct).sum() / self.held.codes.numel()
        self.log(MONITORED, accuracy)
        self.accuracy = float(accuracy)
        self.correct.clear()

    def on_train_epoch_end(self) -> None:
        loss = float(torch.stack(self.losses).mean())
        record = {"epoch": self.current_epoch + 1, "loss": loss, "lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
        self.history.append(record | {"validation_accuracy": self.accuracy})
        self.losses.clear()
        self.accuracy = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> Any:
        recipe, parameters = self.recipe, self.network.parameters()
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adadelta":
            optimizer = RowwiseAdadelta(parameters, lr=recipe.lr, rho=0.95, eps=1e-6)
        else:
            optimizer = RowwiseAdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
        if recipe.schedule == "constant":
            return optimizer
        steps = self.epochs * self.updates_per_epoch
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=recipe.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _epoch_seed(self) -> int:
        return int(np.random.SeedSequence([self.seed, self.current_epoch]).generate_state(1)[0])


class _Rows(NamedTuple):
    """Rows of a parameter that are to be updated: their weights and gradients, and what the optimizer knows of them.

    Attributes
    ----------
    skipped : float tensor, shape (rows, 1)
        Updates that each row was not in since its last one.
    """

    numbers: torch.Tensor
    weights: torch.Tensor
    gradient: torch.Tensor
    skipped: torch.Tensor
    state: dict[str, Any]


class _Rowwise(torch.optim.Optimizer):
    """Updates only the embeddings of the words in a batch, and leaves the other parameters to PyTorch, bit by bit.

    A batch holds some hundreds or thousands of 50,000 words; to update the embeddings of all can cost more than the
    LSTM. A parameter whose gradient is sparse is updated here, a row at a time, only where the batch has that row.
    """

    averages: tuple[str, ...] = ("squares",)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Do one update; the rows' gradients are then taken away, so that the next class sees the others alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None or not parameter.grad.is_sparse:
                    continue
                gradient, state = parameter.grad.coalesce(), self.state[parameter]
                rows, parameter.grad = gradient.indices()[0], None
                if not state:  # "step" is PyTorch's own name and kind, which it asks for when a state is loaded
                    state |= {"step": torch.tensor(0.0), "seen": parameter.new_zeros(len(parameter), 1)}
                    state |= {name: torch.zeros_like(parameter) for name in self.averages}
                state["step"] += 1
                step = state["step"].to(rows.device)
                skipped = step - 1 - state["seen"][rows]
                state["seen"][rows] = step
                parameter[rows] = self._moved(group, _Rows(rows, parameter[rows], gradient.values(), skipped, state))
        super().step()
        return loss

    def _moved(self, group: dict[str, Any], of: _Rows) -> torch.Tensor:
        """Return the rows' new weights."""
        raise NotImplementedError


class RowwiseAdadelta(_Rowwise, torch.optim.Adadelta):
    """Adadelta (Zeiler, 2012), the same as PyTorch's whether gradients are sparse or not.

    A row without a gradient does not move, and its two averages shrink by `rho` in every update. That is made up for
    when the row is next in a batch, so nothing is left out.
    """

    averages = ("squares", "deltas")

    def _moved(self, group: dict[str, Any], of: _Rows) -> torch.Tensor:
        rho, eps, squares, deltas = group["rho"], group["eps"], of.state["squares"], of.state["deltas"]
        square = squares[of.numbers] * rho ** (of.skipped + 1) + (1 - rho) * of.gradient.square()
        delta = deltas[of.numbers] * rho**of.skipped
        change = (delta + eps).sqrt() / (square + eps).sqrt() * of.gradient
        squares[of.numbers] = square
        deltas[of.numbers] = delta * rho + (1 - rho) * change.square()
        moved: torch.Tensor = of.weights - group["lr"] * change
        return moved


class RowwiseAdamW(_Rowwise, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019); for sparse gradients without its first moment.

    AdamW spreads a gradient over some ten updates, of which most would fall on rows that are not in the batch. Here a
    row takes the whole of the step at once. Its second moment shrinks as if the row had been in every batch. Weight
    decay comes with the row's updates only.
    """

    def _moved(self, group: dict[str, Any], of: _Rows) -> torch.Tensor:
        beta, eps, squares = group["betas"][1], group["eps"], of.state["squares"]
        square = squares[of.numbers] * beta ** (of.skipped + 1) + (1 - beta) * of.gradient.square()
        squares[of.numbers] = square
        unbiased = square / (1 - beta ** float(of.state["step"]))
        kept = of.weights * (1 - group["lr"] * group["weight_decay"])
        moved: torch.Tensor = kept - group["lr"] * of.gradient / (unbiased.sqrt() + eps)
        return moved
