"""The built-in attribute structurer: recognises attributes by patterns in source code."""

from __future__ import annotations

from fairnad.ideas.knowledge import Attribute, Findings, ReferenceModel
from fairnad.ports import CallContext
from fairnad.records.candidate import Failure
from prompts.lexicon import Lexicon


class BuiltinAttributeStructurer:
    """A :class:`fairnad.ideas.knowledge.AttributeStructurer` that looks for the lexicon's signs of code."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    async def structure(self, context: CallContext, model: ReferenceModel) -> Findings | Failure:
        """Every attribute of the lexicon whose patterns match the source; never a failure."""
        attributes = [
            Attribute(str(tag.target), str(tag.granularity), tag.main, tag.sub)
            for tag, signs in self._lexicon.signs.items()
            if any(sign.search(model.code) for sign in signs.code)
        ]
        return Findings(model.name, tuple(attributes))
