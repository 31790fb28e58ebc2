import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jinja2
import jinja2.sandbox
import pytest

from fairnad.domain.task import TaskDefaults
from fairnad.errors import BaseModelError, PackError
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.settings.search_settings import RunContext
from prompts.loader import PROMPTS, continuation, load_pack
from prompts.templates import fenced

IDEA = Idea("Gate the channels.", tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_vision_pack_loads_by_name() -> None:
    pack = load_pack("vision")
    assert pack.name == "vision"
    assert {category.target for category in pack.attribute_tree.categories} == set(Target)
    assert pack.tasks
    assert pack.ideas_file.is_file()


def test_a_folder_anywhere_is_a_pack(folder: Path) -> None:
    pack = load_pack(str(folder))
    assert pack.folder == folder
    assert pack.ideas_file == folder / "ideas.jsonl"
    assert pack.attribute_tree.outline(Target.PERFORMANCE) == {
        "operation": {"activation": ["gelu", "relu"], "normalization": []},
        "network": {"layer order": ["pre-activation"]},
    }
    assert pack.attribute_tree.outline(Target.EFFICIENCY) == {"block and connectivity": {"dense connectivity": []}}
    assert pack.tasks == {"digits": TaskDefaults("small", "quick", 30000.0, 2000000.0, 8, 300, 0, 0.0, 1)}


def test_every_predefined_idea_of_the_vision_pack_has_an_action_of_its_own(folder: Path) -> None:
    pack = load_pack(str(folder))
    ideas = (*pack.upscaling_ideas, *pack.adjustment_ideas, *pack.shrinking_ideas, pack.single_use_idea)
    assert [len(pack.upscaling_ideas), len(pack.adjustment_ideas), len(pack.shrinking_ideas)] == [4, 4, 4]
    assert list(pack.actions) == list(ideas)
    assert len(set(pack.actions.values())) == len(ideas) == 13


def test_an_idea_without_an_action_is_left_to_the_language_model(folder: Path) -> None:
    edit(folder / "pack.toml", 'action = "kernel"\n', "")
    pack = load_pack(str(folder))
    assert pack.adjustment_ideas[0] not in pack.actions
    assert "kernel" not in pack.actions.values()


@pytest.mark.parametrize(
    ("target", "wording"),
    [
        (MutationTarget.NEW_MODULE, "Design a new module of your own after this idea, and use it in the network: "),
        (
            MutationTarget.MODIFY_MODULE,
            "Change one of the existing modules, any but `Network` itself, after this idea: ",
        ),
        (MutationTarget.NETWORK, "Change the structure of the network as a whole after this idea: "),
        (MutationTarget.ANY, "Change the network after this idea: "),
    ],
)
def test_knowledge_ideas_are_worded_for_their_target(folder: Path, target: MutationTarget, wording: str) -> None:
    request = load_pack(str(folder)).format_idea(IDEA, target)
    assert request.startswith(wording)
    assert request.endswith(": Gate the channels.")


@pytest.mark.parametrize("kind", [IdeaKind.UPSCALE, IdeaKind.HYPERPARAMETER, IdeaKind.MUTATED])
def test_other_ideas_are_shown_as_they_are(folder: Path, kind: IdeaKind) -> None:
    assert load_pack(str(folder)).format_idea(Idea("Widen it.", kind), MutationTarget.NETWORK) == "Widen it."


def test_braces_in_an_idea_or_in_code_are_no_template(folder: Path) -> None:
    pack = load_pack(str(folder))
    text = "{{ 1 + 1 }} {% if %}"
    assert pack.format_idea(Idea(text, IdeaKind.KNOWLEDGE, IDEA.tag), MutationTarget.NETWORK).endswith(text)
    (_, _), (_, user) = pack.messages("mutation", idea="Widen it.", parent=text)
    assert f"```python\n{text}\n```" in user


def test_a_prompt_needs_every_variable_it_shows(folder: Path) -> None:
    pack = load_pack(str(folder))
    with pytest.raises(jinja2.UndefinedError, match="parent"):
        pack.messages("mutation", idea="Widen it.")


@pytest.mark.parametrize(
    ("code", "fence"), [("x = 1", "```"), ('"""\n```\n"""', "````"), ("`` ````", "`````"), ("", "```")]
)
def test_code_is_fenced_by_more_backticks_than_it_holds(code: str, fence: str) -> None:
    assert fenced(code, "python") == f"{fence}python\n{code}\n{fence}"


def test_a_pack_may_leave_a_variable_out(folder: Path) -> None:
    (folder / "mutation.md").write_text("# System\nMake a network.\n# User\n{{ idea }}\n")
    edit(folder / "pack.toml", 'mutation = ["idea", "parent"]', 'mutation = ["idea"]')
    messages = load_pack(str(folder)).messages("mutation", idea="Widen it.", parent="unused")
    assert messages == (("system", "Make a network.\n"), ("user", "Widen it.\n"))


def test_variables_of_included_files_count_as_shown(folder: Path) -> None:
    (folder / "mutation.md").write_text("# System\nMake a network.\n# User\n{% include '_both.md' %}")
    (folder / "_both.md").write_text("{{ idea }}: {{ parent }}")
    assert load_pack(str(folder)).messages("mutation", idea="a", parent="b")[1] == ("user", "a: b\n")


def test_an_included_file_whose_changes_would_not_count_is_refused(folder: Path) -> None:
    (folder / "mutation.md").write_text("# System\nMake a network.\n# User\n{% include 'both.txt' %}")
    with pytest.raises(PackError, match=r"mutation.md.*: expected includes of .md files, found 'both.txt'"):
        load_pack(str(folder))


def test_a_pack_written_on_windows_is_read_alike(folder: Path) -> None:
    before = load_pack(str(folder)).messages("mutation", idea="a", parent="b")
    for path in folder.glob("*.md"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_pack(str(folder)).messages("mutation", idea="a", parent="b") == before


def test_the_digest_follows_every_file_the_pack_can_use(folder: Path) -> None:
    digests = [load_pack(str(folder)).digest]
    for name in ("mutation.md", "ideas.jsonl", "tasks.toml", "models/resnet32.py"):
        path = folder / name
        path.write_text(path.read_text() + "\n" if path.exists() else "")
        digests.append(load_pack(str(folder)).digest)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("")
    for name in (".mutation.md.swp", "mutation.md~", "NOTES.txt"):
        (folder / name).write_text("")
    assert load_pack(str(folder)).digest == digests[-1]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 12 for digest in digests)


def test_base_models_come_by_name_or_by_path(folder: Path, tmp_path: Path) -> None:
    pack = load_pack(str(folder))
    assert "class Network" in pack.base_source("resnet32")
    (tmp_path / "mine.py").write_text("class Network: ...\n")
    assert pack.base_source(str(tmp_path / "mine.py")) == "class Network: ...\n"


def test_a_missing_base_model_names_those_that_exist(folder: Path) -> None:
    for extra in (folder / "models").glob("*.py"):
        extra.unlink()
    for name in ("small", "large"):
        (folder / "models" / f"{name}.py").write_text("")
    with pytest.raises(BaseModelError) as caught:
        load_pack(str(folder)).base_source("resnet99")
    assert str(caught.value) == (
        "base 'resnet99': expected a Python file or a model of pack vision (large, small), found neither"
    )


def test_an_unreadable_base_model_is_named(folder: Path, tmp_path: Path) -> None:
    pack = load_pack(str(folder))
    with pytest.raises(BaseModelError, match=r"base .*: cannot be read \(Is a directory\): name a readable file"):
        pack.base_source(str(tmp_path))
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    with pytest.raises(BaseModelError, match=r"base .*latin.py: expected UTF-8, found another encoding: save it as"):
        pack.base_source(str(tmp_path / "latin.py"))


def test_an_unknown_pack_names_those_that_exist() -> None:
    with pytest.raises(PackError) as caught:
        load_pack("visoin")
    assert str(caught.value) == ("pack 'visoin': expected one of (vision) or a folder with a pack.toml, found neither")


Break = Callable[[Path], object]
MISTAKES: dict[str, tuple[Break, str]] = {
    "TOML": (lambda f: edit(f / "pack.toml", "[targets]", "[targets"), "pack.toml: not valid TOML: Expected ']'"),
    "missing name": (
        lambda f: edit(f / "pack.toml", 'name = "vision"', ""),
        "pack.toml: name: Field required: fix it",
    ),
    "unknown key": (
        lambda f: edit(f / "pack.toml", "[single-use]", "[single-usage]"),
        "pack.toml: single-use: Field required: fix it",
    ),
    "empty idea": (
        lambda f: edit(f / "pack.toml", "In any of the blocks, change a stride.", " "),
        "pack.toml: adjustment.1.idea: String should have at least 1 character: fix it",
    ),
    "unknown action": (
        lambda f: edit(f / "pack.toml", '"kernel"', '"kernels"'),
        "pack.toml: adjustment.0.action: Input should be 'deepen-middle'",
    ),
    "unknown target": (
        lambda f: edit(f / "pack.toml", '"new module" =', '"newer module" ='),
        "pack.toml: targets.newer module: Input should be 'new module'",
    ),
    "missing target": (
        lambda f: edit(f / "pack.toml", '"any" = "Change the network after this idea: {{ idea }}"', ""),
        "pack.toml: [targets] 'any': expected a text that shows {{ idea }} alone, found '': fix it",
    ),
    "target without idea": (
        lambda f: edit(f / "pack.toml", "Change the network after this idea: {{ idea }}", "Do {{ parent }}"),
        "pack.toml: [targets] 'any': expected a text that shows {{ idea }} alone, found 'Do {{ parent }}': fix it",
    ),
    "malformed target": (
        lambda f: edit(f / "pack.toml", "Change the network after this idea: {{ idea }}", "{{ idea"),
        "pack.toml: [targets] 'any': not a valid Jinja template: unexpected end of template",
    ),
    "missing prompt": (
        lambda f: edit(f / "pack.toml", 'structural_judge = ["judged", "parent"]', ""),
        "pack.toml: [prompts] lacks structural_judge: list the variables each one shows",
    ),
    "unknown prompt": (
        lambda f: edit(f / "pack.toml", "structural_judge =", "judge =[]\nstructural_judge ="),
        "pack.toml: [prompts] has judge; expected only debug, debug_edit, downscale, downscale_edit, ",
    ),
    "missing prompt file": (
        lambda f: (f / "debug.md").unlink(),
        "debug.md: expected this file, found none: add it to the pack",
    ),
    "unreadable prompt file": (
        lambda f: (f / "debug.md").rename(f / "old.md") and (f / "models").rename(f / "debug.md"),
        "debug.md: cannot be read (Is a directory): make it a readable file",
    ),
    "another encoding": (
        lambda f: (f / "debug.md").write_bytes(b"# System\ncaf\xe9\n# User\n"),
        "debug.md: expected UTF-8, found another encoding at byte 12: save it as UTF-8",
    ),
    "no headings": (
        lambda f: edit(f / "debug.md", "# User\n", "## User\n"),
        "debug.md: expected the headings '# System' and '# User', in this order",
    ),
    "malformed template": (
        lambda f: edit(f / "debug.md", "{{ prompt }}", "{{ prompt }"),
        "debug.md: not a valid Jinja template: unexpected '}': fix it",
    ),
    "declared, not shown": (
        lambda f: edit(f / "mutation.md", "{{ idea }}", ""),
        "mutation.md: pack.toml declares idea, which the prompt does not show: show it or drop it",
    ),
    "shown, not declared": (
        lambda f: edit(f / "pack.toml", 'mutation = ["idea", "parent"]', 'mutation = ["idea"]'),
        "mutation.md: the prompt shows parent, which pack.toml does not declare: declare it",
    ),
    "declared, not offered": (
        lambda f: edit(f / "pack.toml", 'mutation = ["idea", "parent"]', 'mutation = ["idea", "parents"]'),
        "mutation.md: pack.toml declares parents, which nothing fills in: use idea, parent",
    ),
    "missing include": (
        lambda f: (f / "_source_rules.md").unlink(),
        "_source_rules.md: expected this file, found none: add it to the pack",
    ),
    "include by a variable": (
        lambda f: edit(f / "mutation.md", '{% include "_source_rules.md" %}', "{% include idea %}"),
        "mutation.md: expected includes by a fixed name, found one by a variable: name the file",
    ),
    "YAML": (lambda f: (f / "attribute_tree.yaml").write_text("a: [b"), "attribute_tree.yaml: not valid YAML: "),
    "empty tree": (
        lambda f: (f / "attribute_tree.yaml").write_text("performance: {}"),
        "attribute_tree.yaml: expected t",
    ),
    "no tree": (
        lambda f: (f / "attribute_tree.yaml").write_text("text"),
        "attribute_tree.yaml: content: Input should be a valid dictionary: fix it",
    ),
    "unknown granularity": (
        lambda f: edit(f / "attribute_tree.yaml", "network:", "networks:"),
        "attribute_tree.yaml: performance.networks: Input should be 'operation', 'block and connectivity' or 'network'",
    ),
    "sub-categories as text": (
        lambda f: edit(f / "attribute_tree.yaml", "[gelu, relu]", "gelu"),
        "attribute_tree.yaml: performance.operation.activation: Input should be a valid list: fix it",
    ),
    "task without a table": (
        lambda f: (f / "tasks.toml").write_text("digits = 3"),
        "tasks.toml: digits: Input should be a dictionary or an instance of TaskDefaults: fix it",
    ),
    "unknown key of a task": (
        lambda f: edit(f / "tasks.toml", "crop_padding", "padding"),
        "tasks.toml: [digits] has padding; expected only base, crop_padding, ",
    ),
    "missing key of a task": (
        lambda f: edit(f / "tasks.toml", "crop_padding = 1", ""),
        "tasks.toml: digits.crop_padding: Field required: fix it",
    ),
    "wrong type in a task": (
        lambda f: edit(f / "tasks.toml", "crop_padding = 1", 'crop_padding = "one"'),
        "tasks.toml: digits.crop_padding: Input should be a valid integer",
    ),
}


@pytest.mark.parametrize(("break_it", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_a_pack_is_one_line_that_names_the_file(folder: Path, break_it: Break, message: str) -> None:
    break_it(folder)
    with pytest.raises(PackError) as caught:
        load_pack(str(folder))
    assert str(caught.value).startswith(f"{folder}/{message}")
    assert "\n" not in str(caught.value)


OPTIONAL = [name for name, prompt in PROMPTS.items() if prompt.replaces]
REQUIRED = [name for name, prompt in PROMPTS.items() if not prompt.replaces]


def test_the_roles_have_prompts_of_their_own(folder: Path) -> None:
    pack = load_pack(str(folder))
    systems = {pack.messages(role, **dict.fromkeys(PROMPTS[role].variables, ""))[0] for role in REQUIRED}
    assert len(systems) == len(REQUIRED) == 6


def test_a_model_that_was_cut_off_is_told_to_go_on_exactly_there() -> None:
    assert "exactly where it stopped" in continuation()
    assert "\n" not in continuation()


def test_importing_the_loader_loads_no_template_engine() -> None:
    code = "import sys, prompts.loader; print({'jinja2', 'yaml'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


WORDING = "# System\nBe brief.\n# User\n{{ idea }} on {{ parent | fenced }}\n"


def test_a_wording_of_the_settings_replaces_a_prompt_of_the_pack() -> None:
    pack = load_pack("vision", {"mutation": WORDING})
    (_, system), (_, user) = pack.messages("mutation", idea="Widen it.", parent="code")
    assert (system, user) == ("Be brief.\n", "Widen it. on ```\ncode\n```\n")
    variables = {"judged": "a", "parent": "b"}
    assert pack.messages("structural_judge", **variables) == load_pack("vision").messages(
        "structural_judge", **variables
    )


def test_every_prompt_of_a_pack_can_be_worded_in_the_settings() -> None:
    context = RunContext.model_validate({"prompts": {role: role for role in PROMPTS}})
    assert context.prompts == {role: role for role in PROMPTS}


SHOWN = "{{ failed }}{{ parent }}{{ prompt }}{{ error }}{{ traceback }}{{ shapes }}"
DEBUG_WORDING = f"# System\nMend it.\n# User\n{SHOWN}\n"


def test_a_wording_for_whole_files_leaves_out_the_packs_prompts_in_its_place_unless_they_are_worded_too() -> None:
    pack = load_pack("vision", {"mutation": WORDING, "debug": DEBUG_WORDING})
    lost = {"mutation_edit", "mutation_module", "debug_edit"}
    assert {role for role in OPTIONAL if not pack.has(role)} == lost
    pack = load_pack("vision", {"debug": DEBUG_WORDING, "debug_edit": DEBUG_WORDING.replace("Mend", "Edit")})
    assert all(pack.has(role) for role in OPTIONAL)
    variables = dict.fromkeys(PROMPTS["debug"].variables, "…")
    assert [pack.messages(role, **variables)[0][1] for role in ("debug", "debug_edit")] == ["Mend it.\n", "Edit it.\n"]


def test_a_wording_may_include_files_of_the_pack() -> None:
    wording = WORDING.replace("Be brief.", '{% include "_source_rules.md" %}')
    (_, system), _ = load_pack("vision", {"mutation": wording}).messages("mutation", idea="a", parent="b")
    assert len(system) > 100


@pytest.mark.parametrize(
    ("role", "wording", "message"),
    [
        ("mutation", "hello", "--prompts: mutation: expected the headings '# System' and '# User', in this order"),
        (
            "mutation",
            WORDING.replace("parent", "idea"),
            "--prompts: mutation: pack.toml declares parent, which the prompt",
        ),
        (
            "mutation",
            WORDING + "{{ colour }}",
            "--prompts: mutation: the prompt shows colour, which pack.toml does not",
        ),
        ("debug", WORDING, "--prompts: debug: pack.toml declares error, failed, prompt, shapes, traceback"),
        ("mutation", WORDING + "{{ idea", "--prompts: mutation: not a valid Jinja template"),
        (
            "idea_mutation_improved",
            WORDING + '{% include "nowhere.md" %}',
            "nowhere.md: expected this file, found none",
        ),
    ],
)
def test_a_wording_is_checked_as_the_packs_own_prompts_are(role: str, wording: str, message: str) -> None:
    with pytest.raises(PackError) as caught:
        load_pack("vision", {role: wording})
    assert message in str(caught.value)


def test_a_wording_cannot_reach_beyond_its_variables() -> None:
    wording = WORDING + "{{ idea.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(jinja2.sandbox.SecurityError):
        load_pack("vision", {"mutation": wording}).messages("mutation", idea="a", parent="b")
