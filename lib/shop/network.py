"""How the shop's image network was trained, on photos of things that the shop does not sell."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from lib.backbones import Pretrained, small_vgg


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    small_epochs, full_epochs
        Epochs that see photos at half their side, which costs a quarter of the time, and epochs that see them whole.
    """

    small_epochs: int
    full_epochs: int
    batch_size: int
    lr: float
    seed: int


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


def pretrain(photos: Tensor, labels: Tensor, recipe: Recipe) -> tuple[nn.Module, list[float]]:
    """Train a `SmallVGG` to tell classes apart; return it, and the loss of every update."""
    torch.manual_seed(recipe.seed)
    model = small_vgg(int(labels.max()) + 1).to(memory_format=torch.channels_last)
    plan = [2] * recipe.small_epochs + [1] * recipe.full_epochs
    batches = len(photos) // recipe.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=len(plan) * batches)
    losses = []
    for shrink in tqdm(plan, desc="epochs"):
        model.train()
        order = torch.randperm(len(photos))[: batches * recipe.batch_size]
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
