"""Which form of a mutation does a real language model get right, and at what cost?

    python -m benchmarks.mutation_formats --base-url http://127.0.0.1:18431/v1 --model NAME --out formats.jsonl

Asks the mutator for the same ideas in each form, and takes every first reply through the lab: parsed, built and run,
within the limits, changed and still of several layers. Nothing is debugged or downscaled: this is what one request
gives. Every try is a line of ``--out``, written as soon as it is known; a study that was cut off goes on there.
``--report`` only prints the table of what the file holds.

Ideas are drawn over main categories as a search draws them, without those of network granularity, which have no
module to write; each comes with one of its mutation targets.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.builtin.structural_judge import BuiltinStructuralJudge
from agents.llm.client import CallMemory, LanguageModel
from agents.mutator import LanguageModelMutator
from benchmarks.machine import machine_line
from benchmarks.proportions import share_text
from fairnad.domain.budget import Budget, load, within
from fairnad.domain.contract import Contract
from fairnad.ideas.attribute_tree import Granularity
from fairnad.ideas.idea import Idea, MutationTarget, mutation_targets
from fairnad.ports import CallContext, JudgeRequest, Model, MutationRequest, Proposal, Verdict
from fairnad.records.candidate import CandidateId, Failure, FailureKind, Stage, Step
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.search.sampling import Fairness, draw, draw_key, fairness_key
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.search_settings import LabSettings
from prompts.loader import Pack, load_pack
from store.idea_files import read_ideas
from store.module_store import ChromaModuleStore
from tools.checks import Checker, lone_checker
from tools.embedder import HashedEmbedder

FORMS = ("full", "edit", "module")


@dataclass(frozen=True, slots=True)
class Trial:
    """One idea asked for in one form; ``kind`` and ``message`` say why it is not valid, empty where it is.

    ``prompts`` is the digest of the pack, ``seconds`` the language model's alone, ``replies`` what it wrote.
    """

    model: str
    base: str
    prompts: str
    form: str
    number: int
    idea: str
    target: str
    kind: str
    message: str
    runs: bool
    num_calls: int
    input_tokens: int
    output_tokens: int
    seconds: float
    note: str
    replies: tuple[str, ...]
    library: int = 0

    @property
    def valid(self) -> bool:
        """Whether a search would train it as it is."""
        return not self.kind

    @property
    def place(self) -> tuple[str, str, str, str, int, int]:
        """What is asked once."""
        return (self.model, self.base, self.prompts, self.form, self.library, self.number)


@dataclass(frozen=True, slots=True)
class Question:
    """An idea with the target it is asked for."""

    number: int
    idea: Idea
    target: MutationTarget


class Subject:
    """A language model at work on one base."""

    def __init__(
        self,
        settings: LanguageModelSettings,
        pack: Pack,
        task: str,
        base: str,
        checker: Checker,
        seed: int,
        library: int,
    ) -> None:
        self._settings = settings
        self._pack = pack
        self._base = base
        self._checker = checker
        self._seed = seed
        self._library = library
        self._modules = ChromaModuleStore(HashedEmbedder())
        self._modules.add(pack.library.offered)
        limits = pack.tasks[task]
        self._budgets = (
            Budget("params", "parameters", limits.max_params),
            Budget("flops", "FLOPs", limits.max_flops),
        )

    async def attempt(self, form: str, question: Question) -> Trial:
        """Ask for an idea in a form, and judge the first reply.

        Raises:
            EndpointError: the endpoint is gone.
        """
        memory = CallMemory()
        model = LanguageModel(self._settings, memory)
        place = CandidateId(1, Stage.FAIR, 1, question.number, 0)
        context = CallContext(str(place), 0, self._seed, DrawDecisions(form=form))
        parent = await self._parent()
        mutator = LanguageModelMutator(model, self._pack, form, self._checker.check)
        near = self._modules.nearest(question.idea.text, [module.module_id for module in self._pack.library.offered])
        modules = tuple(near[: self._library])
        proposal = await mutator.mutate(MutationRequest(context, question.idea, question.target, parent, modules))
        await model.aclose()
        runs, failure = await self._judge(proposal, parent, context)
        calls = [answer.call for answer in memory.answers]
        return Trial(
            model=self._settings.title,
            base=self._base,
            prompts=self._pack.digest,
            form=form,
            number=question.number,
            idea=question.idea.text,
            target=str(question.target),
            kind="" if failure is None else str(failure.kind),
            message="" if failure is None else f"{failure.step}: {failure.message}",
            runs=runs,
            num_calls=len(calls),
            input_tokens=sum(call.input_tokens for call in calls),
            output_tokens=sum(call.output_tokens for call in calls),
            seconds=round(sum(call.seconds for call in calls), 1),
            note="" if isinstance(proposal, Failure) else proposal.note,
            replies=tuple(answer.text for answer in memory.answers),
            library=self._library,
        )

    async def _parent(self) -> Model:
        source = self._pack.base_source(self._base)
        report = await self._checker.check(source)
        assert not isinstance(report, Failure), f"the base does not run: {report}"
        return Model(source, report)

    async def _judge(
        self, proposal: Proposal | Failure, parent: Model, context: CallContext
    ) -> tuple[bool, Failure | None]:
        """Whether it runs, and why it is not valid: the three verifications of the feedback loop, without its loops."""
        if isinstance(proposal, Failure):
            return False, proposal
        report = await self._checker.check(proposal.source)
        if isinstance(report, Failure):
            return False, report
        if not within(report.costs, self._budgets):
            costs = ", ".join(
                f"{name} {part:.2f} of the limit" for name, part in load(report.costs, self._budgets).items()
            )
            return True, Failure(Step.MEASURE, FailureKind.BUDGET, costs)
        verdict = await BuiltinStructuralJudge().judge(JudgeRequest(context, Model(proposal.source, report), parent))
        assert isinstance(verdict, Verdict), "both have run"
        if not verdict.changed:
            return True, Failure(Step.JUDGE, FailureKind.UNCHANGED, verdict.reason)
        if not verdict.multi_layer:
            return True, Failure(Step.JUDGE, FailureKind.SINGLE_LAYER, verdict.reason)
        return True, None


def draw_questions(pack: Pack, num_ideas: int, seed: int) -> list[Question]:
    """Different ideas of operations and blocks, each main category as likely as any other."""
    generator = np.random.default_rng(seed)
    ideas = read_ideas(pack.ideas_file, pack.attribute_tree)
    left = [idea for idea in ideas if idea.tag and idea.tag.granularity is not Granularity.NETWORK]
    questions = []
    for number in range(num_ideas):
        keys = {idea.idea_id: fairness_key(idea.tag, Fairness.MAIN) for idea in left if idea.tag}
        key = draw_key(keys.values(), generator)
        idea = draw([idea for idea in left if keys[idea.idea_id] == key], generator)
        left.remove(idea)
        questions.append(Question(number, idea, draw(mutation_targets(idea), generator)))
    return questions


def read_trials(path: Path) -> list[Trial]:
    """What a file holds so far, in its order; a file that is not there holds nothing."""
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Trial(**row | {"replies": tuple(row["replies"])}) for row in rows]


def table(trials: Sequence[Trial]) -> Iterator[str]:
    """A row for each model, base, form, number of offered modules, and wording of the prompts."""
    yield (
        "| model | base | form | modules | prompts | runs | valid (95% interval) | seconds a try | seconds a valid one "
        "| tokens a try (in + out) | tokens a valid one | valid an hour |"
    )
    yield "|---|---|---|---:|---|---:|---|---:|---:|---:|---:|---:|"
    groups: dict[tuple[str, str, str, str, str], list[Trial]] = {}
    for trial in trials:
        key = (trial.model, trial.base, trial.form, str(trial.library), trial.prompts)
        groups.setdefault(key, []).append(trial)
    for name, group in groups.items():
        yield f"| {' | '.join([*name, *_cells(group)])} |"
    for name, group in groups.items():
        kinds = Counter(trial.kind for trial in group if not trial.valid)
        yield f"{' '.join(name)} failed: " + (
            ", ".join(f"{kind} {number}" for kind, number in kinds.most_common()) or "none"
        )


def _cells(group: Sequence[Trial]) -> list[str]:
    num_tries, num_valid = len(group), sum(trial.valid for trial in group)
    seconds = sum(trial.seconds for trial in group)
    tokens_in = sum(trial.input_tokens for trial in group)
    tokens_out = sum(trial.output_tokens for trial in group)
    return [
        f"{sum(trial.runs for trial in group)} of {num_tries}",
        share_text(num_valid, num_tries),
        f"{seconds / num_tries:.0f}",
        f"{seconds / num_valid:.0f}" if num_valid else "–",
        f"{tokens_in / num_tries:,.0f} + {tokens_out / num_tries:,.0f}",
        f"{(tokens_in + tokens_out) / num_valid:,.0f}" if num_valid else "–",
        f"{3600 * num_valid / seconds:.0f}" if seconds else "–",
    ]


async def study(options: argparse.Namespace) -> None:
    """Ask what is not in the file yet, one request at a time: all forms of an idea, then those of the next."""
    pack = load_pack("vision")
    defaults = pack.tasks[options.task]
    base = options.base or defaults.base
    settings = LanguageModelSettings.model_validate(
        {
            "model": options.model,
            "base_url": options.base_url,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "timeout_seconds": 600,
        }
    )
    known = {trial.place for trial in read_trials(options.out)}
    async with lone_checker(LabSettings(), Contract.for_images(defaults.image_size, 10)) as checker:
        subject = Subject(settings, pack, options.task, base, checker, options.seed, options.library)
        for question in draw_questions(pack, options.ideas, options.seed):
            for form in options.forms:
                if (options.model, base, pack.digest, form, options.library, question.number) in known:
                    continue
                trial = await subject.attempt(form, question)
                with options.out.open("a") as file:
                    file.write(json.dumps(dataclasses.asdict(trial)) + "\n")
                result = trial.message or f"valid: {trial.note}".removesuffix(": ")
                print(f"{form} {question.number}: {trial.seconds:.0f} s, {result}", flush=True)


def main() -> None:
    """Do what is left of the study, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="file of the tries, JSON lines")
    parser.add_argument("--report", action="store_true", help="only print the table")
    parser.add_argument("--base-url", default="", help="OpenAI-compatible endpoint")
    parser.add_argument("--model", default="", help="name of the model there")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="default: all")
    parser.add_argument("--ideas", type=int, default=12, help="ideas (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="decides which ideas (default: 0)")
    parser.add_argument("--library", type=int, default=4, help="offered modules, as in a search (default: 4)")
    parser.add_argument("--task", default="digits", help="image size and limits (default: digits)")
    parser.add_argument("--base", default="", help="model of the pack to change (default: the task's)")
    parser.add_argument("--max-tokens", type=int, default=2048, help="tokens of a reply (default: 2048)")
    parser.add_argument("--temperature", type=float, default=0.7, help="default: 0.7, that of a search")
    options = parser.parse_args()
    if not options.report:
        if not options.model:
            parser.error("--model: expected the name of a model")
        print(f"{machine_line('torch')}\n", flush=True)
        asyncio.run(study(options))
    for line in table(read_trials(options.out)):
        print(line)


if __name__ == "__main__":
    main()
