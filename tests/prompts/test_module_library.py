"""The module library of a pack: what is read of it, and what every module of the vision pack keeps."""

from pathlib import Path
from typing import Any

import pytest
import torch

from agents.builtin.catalogue import CHANGES, transformations
from fairnad.errors import PackError
from fairnad.ideas.checked_modules import CheckedModule
from prompts.loader import load_pack
from prompts.module_library import Entry, ModuleLibrary, read_module_library

VISION = load_pack("vision").library
ENTRIES = [entry for entry in VISION.transformations if entry.source]
KEEPS_SHAPE = {"after-branch", "after-stem", "after-last-stage", "after-each-stage", "stack-after-stages"}
KEEPS_SHAPE |= {"add-to-shortcut", "replace-normalization"}


def module_class(source: str) -> Any:
    names: dict[str, Any] = {}
    head = "import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
    exec(compile(head + source, "module.py", "exec"), names)
    return next(value for name, value in names.items() if f"class {name}(" in source)


def apply(entry: Entry, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, ...]]:
    """What the module of an entry returns where it is used, and the shape it should have."""
    build, (batch, channels, height, width) = module_class(entry.source), x.shape
    same, halved = (batch, channels, height, width), (batch, 2 * channels, (height + 1) // 2, (width + 1) // 2)
    if entry.change in KEEPS_SHAPE:
        return build(channels)(x), same
    if entry.change == "replace-activation":
        return build()(x), same
    if entry.change == "replace-convolution":
        return build(channels, 2 * channels, 3, stride=2, padding=1, bias=False)(x), halved
    if entry.change == "replace-stem":
        return build(channels, 2 * channels)(x), (batch, 2 * channels, height, width)
    if entry.change == "add-path":
        return build(channels, 2 * channels, 2)(x), halved
    if entry.change == "add-to-sum":
        return build(channels)(x, x.flip(1)), same
    if entry.change == "fuse-stages":
        return build((channels,), channels)(x, (x.repeat(1, 1, 2, 2),)), same
    if entry.change == "aggregate-stage":
        blocks = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Tanh())
        return build(blocks, channels)(x), same
    if entry.change == "downsample-with":
        return build(channels)(x), (batch, channels, halved[2], halved[3])
    assert entry.change in ("replace-blocks", "replace-last-blocks")
    kernel = {"kernel_size": 3} if "kernel_size" in entry.source else {}
    return build(channels, 2 * channels, 2, **kernel)(x), halved


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_module_runs_and_keeps_the_shape_of_its_place(entry: Entry) -> None:
    for shape in ((2, 8, 8, 8), (2, 12, 7, 5), (2, 16, 2, 2)):
        x = torch.randn(shape, requires_grad=True)
        result, expected = apply(entry, x)
        assert tuple(result.shape) == expected
        result.sum().backward()
        assert torch.isfinite(result).all() and x.grad is not None


@pytest.mark.parametrize("module", VISION.offered, ids=lambda module: module.name)
def test_every_offered_module_keeps_the_shape(module: CheckedModule) -> None:
    built = module_class(module.source)(12)
    assert built(torch.randn(2, 12, 7, 5)).shape == (2, 12, 7, 5)
    assert module.does and module.source.startswith("import ")


def test_every_change_of_the_built_in_designer_has_a_transformation() -> None:
    assert {entry.change for entry in VISION.transformations} == set(CHANGES)


def test_every_transformation_has_its_fields() -> None:
    for entry in VISION.transformations:
        assert entry.categories and entry.targets and entry.words, entry.name
        assert all(word == word.lower() for word in entry.words), entry.name


def test_the_vision_pack_has_twelve_offered_modules_and_89_transformations() -> None:
    assert len({module.name for module in VISION.offered}) == len(VISION.offered) == 12
    assert len({entry.name for entry in VISION.transformations}) == len(VISION.transformations) == 89


CLASS = '''class Halve(nn.Module):
    """Halves every value.

    It has no weights.
    """

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return math.sqrt(0.25) * x
'''
FIELDS = 'categories = ["performance / operation / activation"]\ntargets = ["new module"]\n'


def write(folder: Path, *entries: str) -> ModuleLibrary:
    library = folder / "modules"
    library.mkdir(exist_ok=True)
    for old in library.iterdir():
        old.unlink()
    (library / "own.toml").write_text("".join(f"[[entry]]\n{entry}\n" for entry in entries))
    return load_pack(str(folder)).library


def test_an_offered_module_says_what_it_does_and_has_its_imports(folder: Path) -> None:
    (module,) = write(folder, f"name = \"halve\"\noffered = true\nsource = '''\n{CLASS}'''").offered
    assert (module.module_id, module.name, module.does) == ("pack/Halve", "Halve", "Halves every value.")
    assert module.source == f"import math\nimport torch.nn as nn\n\n\n{CLASS}"


def test_an_entry_can_use_the_class_of_another(folder: Path) -> None:
    second = f'name = "halve stages"\nchange = "after-each-stage"\nmodule = "Halve"\n{FIELDS}'
    library = write(folder, second, f"name = \"halve\"\nsource = '''\n{CLASS}'''")
    assert library.offered == ()
    assert [entry.source for entry in library.transformations] == [CLASS]


def test_a_pack_may_have_none(tmp_path: Path) -> None:
    assert read_module_library(tmp_path / "modules") == ModuleLibrary()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"\nsource = "class Halve(:"', "own.toml: 'a': source: not valid Python: invalid syntax"),
        ('name = "a"\nsource = "x = 1\\ny = 2"', "own.toml: 'a': source: expected one class, found 2 statements"),
        ('name = "a"\nsource = "class A:\\n    x = 1"', "class A: expected a docstring that says what it does"),
        (f'name = "a"\nchange = "widen"\nmodule = "Gone"\n{FIELDS}', "module 'Gone': no entry has this class"),
        ('name = "a"\nchange = "widen"', "'a': expected categories and targets beside a change"),
        (f'name = "a"\nchange = "widen"\n{FIELDS}' * 1 + "\nodd = 1", "own.toml: entry.0.odd: Extra inputs"),
        ('name = "a"\ncategories = ["activation"]', "expected 'target / granularity / main category'"),
    ],
)
def test_a_malformed_entry_is_one_line(folder: Path, text: str, message: str) -> None:
    with pytest.raises(PackError) as caught:
        write(folder, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_entries_of_one_name_are_refused(folder: Path) -> None:
    entry = f'name = "a"\nchange = "widen"\n{FIELDS}'
    with pytest.raises(PackError, match="another entry has this name"):
        write(folder, entry, entry)


def test_an_unknown_change_is_refused(folder: Path) -> None:
    library = write(folder, f'name = "a"\nchange = "shrink"\n{FIELDS}')
    with pytest.raises(PackError, match=r"'a': change: expected one of \(after-branch, .*\), found 'shrink'"):
        transformations(library)


def test_the_old_file_of_modules_is_refused_with_its_successor(folder: Path) -> None:
    (folder / "modules.py").write_text("")
    with pytest.raises(PackError, match=r"modules\.py: modules are entries of TOML files in .*modules now"):
        load_pack(str(folder))
