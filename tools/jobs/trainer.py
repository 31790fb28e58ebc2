"""Training and prediction inside a job, without access to validation or test data.

The whole training set is on the device as bytes; batches are cropped, flipped and normalised there. The caller seeds
torch before building the network, so that initial weights depend on the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fairnad.domain.recipe import Recipe

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class TrainRequest:
    """Data and settings of a training.

    ``images`` are uint8 (N, C, H, W) and ``labels`` int64 (N,); ``mean`` and ``std`` are on the [0, 1] scale.

    Raises:
        ValueError: fewer than two images, another number of labels, or a label out of range.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    mean: Channels
    std: Channels
    recipe: Recipe
    seed: int
    device: str
    num_classes: int

    def __post_init__(self) -> None:
        if len(self.images) < 2 or len(self.images) != len(self.labels):
            raise ValueError(
                f"expected 2 or more labelled images, found {len(self.images)} and {len(self.labels)} labels"
            )
        if self.labels.min() < 0 or self.labels.max() >= self.num_classes:
            raise ValueError(f"expected labels from 0 to {self.num_classes - 1}")


@dataclass(frozen=True, slots=True)
class TrainReport:
    """Mean training loss of each finished epoch.

    ``diverged``: the loss of the next epoch was not finite. ``hopeless``: the recipe's rule ended the training.
    """

    train_loss: tuple[float, ...]
    diverged: bool = False
    hopeless: bool = False


def train(
    network: nn.Module, request: TrainRequest, after_epoch: Callable[[int], None] = lambda num_epochs: None
) -> TrainReport:
    """Train in place by the recipe (paper Table 4): SGD with momentum, cosine learning rate, crop and flip.

    On the CPU the same network, request and number of threads give the same weights bit for bit.

    Args:
        after_epoch: called after each epoch with the number of finished ones; must not change the network.
    """
    recipe = request.recipe
    torch.manual_seed(request.seed)
    _place(network, request.device)
    network.train()
    normalise = Normalisation(request.mean, request.std, request.device)
    batches = TrainingBatches(request)
    optimizer = _optimizer(network, recipe)
    loss_of = _loss_function(network, request)
    losses: list[float] = []
    for epoch in range(recipe.num_epochs):
        total = torch.zeros((), device=request.device)
        for index, (images, labels) in enumerate(batches.epoch()):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * len(batches) + index, len(batches), recipe)
            loss = loss_of(normalise(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach() * len(labels)
        mean_loss = total.item() / batches.num_images
        if not math.isfinite(mean_loss):
            return TrainReport(tuple(losses), diverged=True)
        losses.append(mean_loss)
        if recipe.is_hopeless(losses, request.num_classes):
            return TrainReport(tuple(losses), hopeless=True)
        after_epoch(epoch + 1)
    return TrainReport(tuple(losses))


@torch.no_grad()
def predict(
    network: nn.Module, images: NDArray[np.uint8], mean: Channels, std: Channels, *, batch_size: int, device: str
) -> NDArray[np.float32]:
    """The logits of images, uint8 (N, C, H, W), in evaluation mode, float32 (N, num_classes).

    ``mean`` and ``std`` are those of the training.
    """
    _place(network, device)
    network.eval()
    normalise = Normalisation(mean, std, device)
    batches = torch.split(torch.tensor(images, device=device), batch_size)
    logits: NDArray[np.float32] = torch.cat([network(normalise(batch)).float() for batch in batches]).cpu().numpy()
    return logits


def learning_rate(step: int, steps_per_epoch: int, recipe: Recipe) -> float:
    """The learning rate of a step, from 0: linear warm-up, then a cosine that ends after the last step."""
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return recipe.learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (recipe.num_epochs * steps_per_epoch - warmup_steps)
    height = recipe.learning_rate - recipe.final_learning_rate
    return recipe.final_learning_rate + height * (1 + math.cos(math.pi * progress)) / 2


class Normalisation:
    """Converts bytes (B, C, H, W) to float32 with mean 0 and deviation 1 per channel."""

    def __init__(self, mean: Channels, std: Channels, device: str) -> None:
        self._scale = (1 / (255 * torch.tensor(std))).view(1, -1, 1, 1).to(device)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1).to(device)
        self._layout = _layout(device)

    def __call__(self, images: Tensor) -> Tensor:
        """Return a new tensor, which the network may change in place."""
        return images.float().mul_(self._scale).add_(self._shift).contiguous(memory_format=self._layout)


class TrainingBatches:
    """Shuffled and augmented batches of a training set on the device.

    Random numbers come from an own generator on the CPU, so that order and augmentation are the same on every device
    and do not depend on the network. A last batch of one image is dropped, as batch norm needs two.
    """

    def __init__(self, request: TrainRequest) -> None:
        recipe, device = request.recipe, request.device
        height, width = request.images.shape[2:]
        self._padding = recipe.crop_padding
        self._flip_probability = recipe.flip_probability
        self._batch_size = recipe.batch_size
        self._generator = torch.Generator().manual_seed(request.seed)
        padded = F.pad(torch.tensor(request.images, device=device), [self._padding] * 4)
        self._labels = torch.tensor(request.labels, device=device)
        # A view of every crop of every padded image: (N, C, offsets, offsets, H, W).
        self._crops = padded.unfold(2, height, 1).unfold(3, width, 1)
        left_over = len(request.images) % recipe.batch_size
        self.num_images = len(request.images) - (1 if left_over == 1 else 0)

    def __len__(self) -> int:
        return math.ceil(self.num_images / self._batch_size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch: images uint8 (B, C, H, W) and labels int64 (B,)."""
        device = self._labels.device
        order = torch.randperm(len(self._labels), generator=self._generator)[: self.num_images]
        corners = torch.randint(2 * self._padding + 1, (self.num_images, 2), generator=self._generator)
        flips = torch.rand(self.num_images, generator=self._generator) < self._flip_probability
        drawn = (torch.split(tensor.to(device), self._batch_size) for tensor in (order, corners, flips))
        for indices, corner, flip in zip(*drawn, strict=True):
            yield self._crop(indices, corner, flip), self._labels[indices]

    def _crop(self, indices: Tensor, corners: Tensor, flips: Tensor) -> Tensor:
        """Crop at ``corners`` (B, 2) of the padded images in one gather, then mirror where ``flips`` (B,)."""
        images = self._crops[indices, :, corners[:, 0], corners[:, 1]]
        if self._flip_probability == 0:
            return images
        return torch.where(flips[:, None, None, None], images.flip(3), images)


def weights_to_bytes(network: nn.Module) -> bytes:
    """Parameters and buffers in the order of the state dict: raw little-endian elements without gaps."""
    return b"".join(_bytes_of(tensor) for tensor in weights(network).values())


def num_weight_bytes(network: nn.Module) -> int:
    """The size of :func:`weights_to_bytes`."""
    return sum(tensor.numel() * tensor.element_size() for tensor in weights(network).values())


@torch.no_grad()
def load_weights(network: nn.Module, data: bytes) -> None:
    """The inverse of :func:`weights_to_bytes`, for a network built from the same source.

    Raises:
        ValueError: ``data`` has another size.
    """
    expected = num_weight_bytes(network)
    if len(data) != expected:
        raise ValueError(f"expected {expected} bytes of weights, found {len(data)}")
    start = 0
    for tensor in weights(network).values():
        end = start + tensor.numel() * tensor.element_size()
        if end > start:
            # Copied: a view of wider elements needs an aligned start.
            elements = torch.frombuffer(bytearray(data[start:end]), dtype=tensor.dtype)
            tensor.copy_(elements.view(tensor.shape))
        start = end


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of the state dict, in order."""
    return {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}


def _bytes_of(tensor: Tensor) -> bytes:
    # Viewed as bytes, as numpy lacks some types of torch, such as bfloat16.
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()


def _place(network: nn.Module, device: str) -> None:
    network.to(device)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=_layout(device))


def _layout(device: str) -> torch.memory_format:
    return torch.channels_last if torch.device(device).type == "cuda" else torch.contiguous_format


def _loss_function(network: nn.Module, request: TrainRequest) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean loss of a batch, in float32 whatever the precision of the network."""
    forward = torch.compile(network) if request.recipe.compiled else network
    smoothing = request.recipe.label_smoothing
    if request.recipe.precision == "float32":
        return lambda images, labels: F.cross_entropy(forward(images), labels, label_smoothing=smoothing)
    device_type = torch.device(request.device).type

    def mixed(images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device_type, dtype=torch.bfloat16):
            logits = forward(images)
        return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)

    return mixed


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    parameters = list(network.parameters())
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        # The fused step refuses complex parameters.
        fused=all(parameter.is_floating_point() for parameter in parameters),
    )
