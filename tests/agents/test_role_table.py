"""The contract of the table of roles: every role can be played, asked and set."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

from agents.replies import reply_schemas
from fairnad.ports import Roles
from fairnad.roles import ROLES, Role, role_of_call, roles_of
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.search_settings import RunContext
from prompts.knowledge_pack import load_knowledge_pack
from prompts.librarian_pack import load_librarian_pack
from prompts.loader import load_pack

CATEGORIES = ("performance_attributes", "efficiency_attributes")
every_role = pytest.mark.parametrize("role", ROLES.values(), ids=lambda role: role.name)


def load(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)


@every_role
def test_a_language_model_and_the_built_in_designer_play_the_whole_protocol(role: Role) -> None:
    methods = [name for name, _ in inspect.getmembers(load(role.protocol), inspect.isfunction) if name[0] != "_"]
    assert methods
    for player in (load(role.language_model), load(role.built_in)):
        for name in methods:
            wanted = inspect.signature(getattr(load(role.protocol), name)).parameters
            assert list(inspect.signature(getattr(player, name)).parameters) == list(wanted)


@every_role
def test_its_prompts_exist_in_the_pack_and_its_schemas_among_the_replies(role: Role) -> None:
    pack = load_pack("vision")
    prompts = {
        "search": pack,
        "knowledge": load_knowledge_pack("vision"),
        "chat": load_librarian_pack(pack),
    }[role.graph]
    for template in role.templates:
        shown = {name: {} if name in ("template", *CATEGORIES) else "" for name in template.variables}
        assert prompts.messages(template.name, **shown)
        assert template.replaces <= {other.name for other in role.templates}
        assert role_of_call(template.name) == role_of_call(f"{template.name}_again") == role.name
    assert all(hasattr(reply_schemas, schema) for schema in role.schemas)


@every_role
def test_it_has_a_setting_and_can_be_given_a_model_of_its_own(role: Role) -> None:
    context = KnowledgeContext if role.graph == "knowledge" else RunContext
    for player in role.players:
        agents = context.model_validate({"agents": {"players": {role.name: player}}}).agents
        assert agents.player_of(role.name) == player
    entries = [{"model": "m", "roles": [role.name]}]
    assert LanguageModelSettings.model_validate({"models": entries}).models[0].roles == (role.name,)


def test_a_role_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown role debuger; did you mean debugger"):
        LanguageModelSettings.model_validate({"models": [{"model": "m", "roles": ["debuger"]}]})


def test_the_roles_of_a_search_have_one_method_a_fallback_and_a_field() -> None:
    assert list(roles_of("search")) == list(Roles.__dataclass_fields__)
    for role in roles_of("search").values():
        assert role.best in role.players
        assert hasattr(load(role.protocol), role.method)
        assert ("both" in role.players) == bool(role.joint)
        assert all(map(load, filter(None, (role.fallback, role.joint))))
    assert role_of_call("doctor") == ""
