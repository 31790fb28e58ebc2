"""Three ways to train a network on the same images: this trainer's, a bare loop's, and a DataLoader's."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fairnad.domain.recipe import Recipe
from tools.jobs import trainer
from tools.jobs.trainer import Normalisation, TrainingBatches, TrainRequest

Batches = list[tuple[Tensor, Tensor]]


def by_trainer(network: nn.Module, request: TrainRequest) -> None:
    """As the lab trains."""
    trainer.train(network, request)


def by_bare_loop(network: nn.Module, batches: Batches, recipe: Recipe) -> None:
    """Forward, backward and step on prepared batches: the minimum of any training."""
    network.train()
    optimizer = _optimizer(network, recipe)
    for _ in range(recipe.num_epochs):
        for images, labels in batches:
            _step(network, optimizer, images, labels)


def by_data_loader(network: nn.Module, request: TrainRequest) -> None:
    """As NAS-Bench-201 trains: one PIL image at a time, in this process."""
    network.train()
    optimizer, loader = _optimizer(network, request.recipe), pictures(request)
    for _ in range(request.recipe.num_epochs):
        for images, labels in loader:
            _step(network, optimizer, images, labels)


def made_batches(request: TrainRequest) -> Batches:
    """The normalised batches of one epoch of this trainer's."""
    normalise = Normalisation(request.mean, request.std, request.device)
    return [(normalise(images), labels) for images, labels in TrainingBatches(request).epoch()]


def pictures(request: TrainRequest) -> DataLoader[tuple[Tensor, int]]:
    """Batches with torchvision's crop, flip, tensor and normalisation."""
    return DataLoader(_Pictures(request), request.recipe.batch_size, shuffle=True)


class _Pictures(Dataset[tuple[Tensor, int]]):
    """A data set like torchvision's CIFAR-10: arrays that become PIL images on access."""

    def __init__(self, request: TrainRequest) -> None:
        self._images: NDArray[np.uint8] = np.ascontiguousarray(request.images.transpose(0, 2, 3, 1))
        self._labels = request.labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(request.recipe.flip_probability),
                transforms.RandomCrop(request.images.shape[-1], padding=request.recipe.crop_padding),
                transforms.ToTensor(),
                transforms.Normalize(request.mean, request.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        fused=True,
    )


def _step(network: nn.Module, optimizer: torch.optim.SGD, images: Tensor, labels: Tensor) -> None:
    loss = F.cross_entropy(network(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
