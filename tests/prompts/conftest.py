import shutil
from pathlib import Path

import pytest

import prompts.loader

VISION = Path(prompts.loader.__file__).parent / "vision"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the vision pack with a small tree and one task, free to be broken."""
    copy = Path(shutil.copytree(VISION, tmp_path / "my pack"))
    (copy / "attribute_tree.yaml").write_text(
        "performance:\n"
        "  operation:\n"
        "    activation: [gelu, relu]\n"
        "    normalization: []\n"
        "  network:\n"
        "    layer order: [pre-activation]\n"
        "efficiency:\n"
        "  block and connectivity:\n"
        "    dense connectivity:\n"
    )
    (copy / "tasks.toml").write_text(
        "[digits]\n"
        'base = "small"\n'
        'recipe = "quick"\n'
        "max_params = 3e4\n"
        "max_flops = 2_000_000\n"
        "image_size = 8\n"
        "num_train = 300\n"
        "num_validation = 0\n"
        "flip_probability = 0.0\n"
        "crop_padding = 1\n"
    )
    return copy
