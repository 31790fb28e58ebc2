from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairnad.domain.recipe import RECIPES, Recipe
from tests.tools.jobs.small_training import MEAN, RECIPE, STD, make_network, make_request
from tools.jobs.trainer import (
    Normalisation,
    TrainingBatches,
    TrainReport,
    TrainRequest,
    learning_rate,
    predict,
    train,
    weights_to_bytes,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Jobs train with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained_bytes(request: TrainRequest) -> tuple[TrainReport, bytes]:
    network = make_network()
    report = train(network, request)
    return report, weights_to_bytes(network)


def test_the_same_training_gives_the_same_weights_bit_for_bit() -> None:
    first = trained_bytes(make_request())
    torch.rand(7)  # what was drawn before does not matter
    assert trained_bytes(make_request()) == first


def test_the_seed_decides_the_weights() -> None:
    assert trained_bytes(make_request(seed=2))[1] != trained_bytes(make_request(seed=3))[1]


def test_training_learns_what_there_is_to_learn() -> None:
    recipe = replace(RECIPE, num_epochs=20, flip_probability=0.5)
    network, request = make_network(), make_request(120, recipe=recipe)
    report = train(network, request)
    assert not report.diverged
    assert len(report.train_loss) == 20
    assert report.train_loss[-1] < 0.7 * report.train_loss[0]
    logits = predict(network, request.images, MEAN, STD, batch_size=50, device="cpu")
    assert (logits.argmax(axis=1) == request.labels).mean() > 0.8


def test_a_huge_learning_rate_diverges_and_stops() -> None:
    report = train(make_network(), make_request(recipe=replace(RECIPE, num_epochs=50, learning_rate=1e30)))
    assert report.diverged
    assert len(report.train_loss) < 50
    assert all(map(math.isfinite, report.train_loss))


class Indifferent(nn.Module):
    """Says the same of every image, whatever it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.mean(dim=(1, 2, 3)) * self.scale)[:, None].expand(-1, 4)


def test_a_training_that_learns_nothing_is_ended_by_its_recipes_rule() -> None:
    recipe = replace(RECIPE, num_epochs=9, hopeless_after=5)
    report = train(Indifferent(), make_request(48, recipe=recipe))
    assert report.hopeless and not report.diverged
    assert report.train_loss == pytest.approx([math.log(4)] * 5, rel=1e-5)
    assert not train(make_network(), make_request(48, recipe=recipe)).hopeless
    assert not train(Indifferent(), make_request(48, recipe=replace(recipe, hopeless_after=0))).hopeless


def test_every_epochs_weights_can_be_had_and_having_them_changes_nothing() -> None:
    network, kept = make_network(), {}
    report = train(network, make_request(), lambda epoch: kept.update({epoch: weights_to_bytes(network)}))
    assert list(kept) == [1, 2, 3]
    assert len(set(kept.values())) == 3
    assert (report, kept[3]) == trained_bytes(make_request())
    shorter = make_network()
    train(shorter, make_request(), lambda epoch: None)
    assert weights_to_bytes(shorter) == kept[3]


def test_mixed_precision_computes_in_bfloat16_keeps_float32_weights_and_learns() -> None:
    seen = []
    network = make_network()
    network[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    recipe = replace(RECIPE, num_epochs=12, precision="bfloat16")
    report = train(network, make_request(120, recipe=recipe))
    assert set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert report.train_loss[-1] < 0.8 * report.train_loss[0]
    exact = train(make_network(), make_request(120, recipe=replace(recipe, precision="float32")))
    assert report.train_loss == pytest.approx(exact.train_loss, rel=0.1)
    assert report.train_loss != exact.train_loss


def test_a_compiled_training_goes_through_the_compiler_and_trains_the_network_itself(monkeypatch) -> None:
    compiled = []

    def compile_network(network: nn.Module) -> nn.Module:
        compiled.append(network)
        return network

    # The real compiler is tried by the lab; here it would take a minute of a C++ compiler's time.
    monkeypatch.setattr(torch, "compile", compile_network)
    network = make_network()
    train(network, make_request(recipe=replace(RECIPE, compiled=True)))
    assert compiled == [network]
    assert weights_to_bytes(network) == trained_bytes(make_request())[1]
    assert compiled == [network]


def test_a_step_is_nesterov_momentum_with_plain_weight_decay_on_every_parameter() -> None:
    recipe = replace(
        RECIPE, num_epochs=1, batch_size=50, warmup_epochs=0, weight_decay=0.3, crop_padding=0, flip_probability=0
    )
    request = make_request(recipe=recipe)
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 4))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    images = Normalisation(MEAN, STD, "cpu")(torch.tensor(request.images))
    F.cross_entropy(network(images), torch.tensor(request.labels)).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    train(network, request)
    for parameter, old, gradient in zip(network.parameters(), before, gradients, strict=True):
        decayed = gradient + 0.3 * old
        torch.testing.assert_close(parameter.detach(), old - 0.1 * (decayed + 0.9 * decayed), rtol=1e-4, atol=1e-5)


def test_the_first_step_of_a_warm_up_is_a_small_one() -> None:
    def change(recipe: Recipe) -> float:
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
        before = network[1].weight.detach().clone()
        train(network, make_request(32, recipe=replace(recipe, batch_size=32, crop_padding=0)))
        return float((network[1].weight.detach() - before).norm())

    cold = replace(RECIPE, num_epochs=1, warmup_epochs=0, weight_decay=0.0)
    # One epoch of one step: the whole rate without a warm-up, a quarter of it in one of four epochs.
    torch.manual_seed(0)
    whole = change(cold)
    torch.manual_seed(0)
    quarter = change(replace(cold, warmup_epochs=4))
    assert quarter == pytest.approx(whole / 4, rel=1e-3)


def test_label_smoothing_changes_the_loss_as_it_should() -> None:
    recipe = replace(RECIPE, num_epochs=1, batch_size=50, learning_rate=1e-9, crop_padding=0, label_smoothing=0.2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    request = make_request(recipe=recipe)
    images = Normalisation(MEAN, STD, "cpu")(torch.tensor(request.images))
    expected = F.cross_entropy(network(images), torch.tensor(request.labels), label_smoothing=0.2).item()
    recipe = replace(recipe, flip_probability=0)
    assert train(network, replace(request, recipe=recipe)).train_loss[0] == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    recipe = Recipe("r", num_epochs=12, batch_size=1, learning_rate=0.4, final_learning_rate=0.1, warmup_epochs=2)
    rates = [learning_rate(step, 5, recipe) for step in range(61)]
    assert rates[:10] == pytest.approx([0.04 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.4)
    assert rates[35] == pytest.approx((0.4 + 0.1) / 2)
    assert rates[60] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def test_table_4_starts_at_its_rate_and_ends_at_nothing() -> None:
    recipe = RECIPES["nasbench201"]
    assert learning_rate(0, 98, recipe) == 0.1
    assert learning_rate(200 * 98 - 1, 98, recipe) == pytest.approx(0, abs=1e-8)
    assert learning_rate(200 * 98, 98, recipe) == 0


def located_request(num_images: int, padding: int, flip_probability: float) -> TrainRequest:
    """Images whose every pixel tells its place: 1 to 30, left to right, top to bottom; 0 is padding."""
    image = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    images = np.broadcast_to(image, (num_images, 3, 5, 6)) + np.array([0, 50, 100], np.uint8)[:, None, None]
    recipe = replace(RECIPE, batch_size=64, crop_padding=padding, flip_probability=flip_probability)
    return make_request(images=images, labels=np.zeros(num_images, np.int64), recipe=recipe)


def expected_crop(top: int, left: int, padding: int, flipped: bool) -> bytes:
    image = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    crop = np.pad(image, padding)[top : top + 5, left : left + 6]
    return (crop[:, ::-1] if flipped else crop).tobytes()


def test_crops_and_flips_are_drawn_uniformly_with_every_edge_among_them() -> None:
    padding, num_images = 2, 5000
    known = {
        expected_crop(top, left, padding, flipped): (top, left, flipped)
        for top in range(5)
        for left in range(5)
        for flipped in (False, True)
    }
    assert len(known) == 50
    batches = TrainingBatches(located_request(num_images, padding, 0.5))
    drawn = Counter(known[image[0].numpy().tobytes()] for images, _ in batches.epoch() for image in images)
    assert set(drawn) == set(known.values()), "every offset should be drawn, flipped and not"
    # Six standard deviations of a binomial draw.
    assert max(abs(count - num_images / 50) for count in drawn.values()) < 6 * math.sqrt(num_images / 50)
    num_flipped = sum(count for (_, _, flipped), count in drawn.items() if flipped)
    assert abs(num_flipped - num_images / 2) < 6 * math.sqrt(num_images / 4)


def test_the_share_of_flips_is_the_recipes() -> None:
    plain, mirrored = expected_crop(0, 0, 0, False), expected_crop(0, 0, 0, True)
    for probability, allowed in ((0.0, {plain}), (1.0, {mirrored})):
        batches = TrainingBatches(located_request(200, 0, probability))
        assert {image[0].numpy().tobytes() for images, _ in batches.epoch() for image in images} == allowed
    batches = TrainingBatches(located_request(2000, 0, 0.2))
    num_mirrored = sum(image[0].numpy().tobytes() == mirrored for images, _ in batches.epoch() for image in images)
    assert abs(num_mirrored - 400) < 6 * math.sqrt(2000 * 0.2 * 0.8)


def test_the_channels_of_an_image_are_cropped_alike() -> None:
    for images, _ in TrainingBatches(located_request(64, 0, 0.5)).epoch():
        assert torch.equal(images[:, 1] - images[:, 0], torch.full_like(images[:, 0], 50))
        assert torch.equal(images[:, 2] - images[:, 0], torch.full_like(images[:, 0], 100))


def counted_request(num_images: int, batch_size: int) -> TrainRequest:
    """Images that are their own label."""
    labels = np.arange(num_images)
    images = np.broadcast_to(labels.astype(np.uint8)[:, None, None, None], (num_images, 3, 4, 4))
    recipe = replace(RECIPE, batch_size=batch_size, crop_padding=0)
    return make_request(images=images, labels=labels, num_classes=num_images, recipe=recipe)


def test_an_epoch_shows_every_image_once_in_a_new_order_with_its_label() -> None:
    batches = TrainingBatches(counted_request(40, batch_size=16))
    orders = []
    for _ in range(2):
        epoch = list(batches.epoch())
        assert [len(labels) for _, labels in epoch] == [16, 16, 8]
        assert all(torch.equal(images[:, 0, 0, 0].long(), labels) for images, labels in epoch)
        orders.append(torch.cat([labels for _, labels in epoch]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40))
    assert orders[0] != orders[1] != list(range(40))


@pytest.mark.parametrize(("num_images", "sizes"), [(32, [16, 16]), (33, [16, 16]), (34, [16, 16, 2]), (2, [2])])
def test_a_last_batch_of_one_is_left_out(num_images: int, sizes: list[int]) -> None:
    batches = TrainingBatches(counted_request(num_images, batch_size=16))
    assert len(batches) == len(sizes)
    assert [len(labels) for _, labels in batches.epoch()] == sizes


def test_a_training_whose_last_batch_would_be_one_runs_with_batch_norm() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4))
    assert not train(network, make_request(17)).diverged


def test_normalised_images_have_mean_0_and_deviation_1() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4), np.uint8)
    mean, std = (images / 255).mean(axis=(0, 2, 3)), (images / 255).std(axis=(0, 2, 3))
    normalised = Normalisation(tuple(mean.tolist()), tuple(std.tolist()), "cpu")(torch.tensor(images)).double()
    assert normalised.mean(dim=(0, 2, 3)).abs().max() < 1e-5
    assert (normalised.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_predictions_do_not_depend_on_the_batches() -> None:
    network, request = make_network(), make_request()
    train(network, request)
    before = weights_to_bytes(network)
    one, other = (
        predict(network, request.images, MEAN, STD, batch_size=batch_size, device="cpu") for batch_size in (7, 50)
    )
    assert one.dtype == np.float32
    assert one.shape == (50, 4)
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert weights_to_bytes(network) == before, "a prediction should not touch batch norm's statistics"


def test_predictions_keep_the_order_of_the_images() -> None:
    class Brightness(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert not torch.is_grad_enabled()
            return images.mean(dim=(1, 2, 3))[:, None].double()

    request = counted_request(40, batch_size=1)
    logits = predict(Brightness(), request.images, (0, 0, 0), (1, 1, 1), batch_size=16, device="cpu")
    np.testing.assert_allclose(logits[:, 0] * 255, np.arange(40), atol=1e-4)
    assert logits.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(49, np.int64)}, "found 50 and 49 labels"),
        ({"images": np.zeros((1, 3, 8, 8), np.uint8), "labels": np.zeros(1, np.int64)}, "expected 2 or more"),
        ({"labels": np.full(50, 4)}, "expected labels from 0 to 3"),
        ({"labels": np.full(50, -1)}, "expected labels from 0 to 3"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_request(**changes)
