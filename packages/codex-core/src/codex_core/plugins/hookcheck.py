"""What a plugin module may offer: hooks that keep their specification, records that keep the rules.

Decision: checked more strictly than pluggy does, because what pluggy passes over in silence (a misspelt argument, a
function that was not marked, a coroutine) is a plugin that does nothing and says nothing.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

from codex_core.components import EVENT_HOOKS, KIND_HOOKS, MAX_COMPONENTS_PER_PLUGIN, Component


class Refused(Exception):
    """A plugin breaks a rule; holds the reason code, one sentence and the place."""

    def __init__(self, reason: str, hint: str, where: str | None = None) -> None:
        super().__init__(hint)
        self.reason = reason
        self.hint = hint
        self.where = where


def hooks_of(module: types.ModuleType) -> tuple[list[str], list[tuple[str, Callable[[], Any]]]]:
    """The event hooks that a module implements, and its kind hooks; refuses what pluggy would pass over."""
    events: list[str] = []
    offered: list[tuple[str, Callable[[], Any]]] = []
    for name, value in sorted(vars(module).items()):
        if not name.startswith("codex_") or isinstance(value, (type, types.ModuleType)):
            continue
        known = name in EVENT_HOOKS or name in KIND_HOOKS.values()
        marks = getattr(value, "codex_impl", None)
        if not callable(value):
            if known:
                raise Refused(
                    "hook-not-callable",
                    f"{name} is {type(value).__name__}, expected a function",
                    _place(value),
                )
            continue
        if marks is None:
            if known or getattr(value, "__module__", None) == module.__name__:
                raise Refused("hook-undecorated", f"{name} is not marked with @hookimpl", _place(value))
            continue
        if not known:
            if marks.get("optionalhook"):
                continue
            raise Refused("unknown-hook", f"{name} is no hook of this core", _place(value))
        _check_hook(name, value, marks, is_event=name in EVENT_HOOKS)
        if name in EVENT_HOOKS:
            events.append(name)
        else:
            offered.append((name, value))
    if not events and not offered:
        raise Refused("nothing-offered", f"{module.__name__} implements no hook")
    return events, offered


def _check_hook(name: str, hook: Any, marks: dict[str, Any], *, is_event: bool) -> None:
    code = getattr(getattr(hook, "__func__", hook), "__code__", None)
    if marks.get("wrapper") or marks.get("hookwrapper"):
        raise Refused("hook-wrapper", f"{name} is marked as a wrapper", _place(hook))
    called = hook if code is not None else type(hook).__call__
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise Refused("hook-async", f"{name} is a coroutine function", _place(hook))
    if is_event and inspect.isgeneratorfunction(called):
        raise Refused("hook-signature", f"{name} is a generator, it would never run", _place(hook))
    parameters = list(inspect.signature(hook).parameters.values())
    plain = [
        (one.name, one.default is one.empty and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))
        for one in parameters
    ]
    expected = [("ctx", True)] if is_event else []
    if plain != expected:
        wanted = "(ctx)" if is_event else "()"
        raise Refused(
            "hook-signature", f"{name}{inspect.signature(hook)} must be {name}{wanted}", _place(hook)
        )


def components_of(hook: str, call: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    try:
        offered = call()
        listed = [one for one, _ in zip(offered, range(MAX_COMPONENTS_PER_PLUGIN + 1), strict=False)]
    except (TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(error).startswith("Component "):
            raise Refused("invalid-component", f"{hook}: {error}", _place(call)) from None
        if _deep(error):
            raise
        raise Refused("not-a-component", f"{hook} does not return a list", _place(call)) from None
    for one in listed:
        if type(one) is not Component:
            raise Refused(
                "not-a-component", f"{hook} returns {type(one).__name__} among its records", _place(call)
            )
    if len(listed) > MAX_COMPONENTS_PER_PLUGIN:
        try:
            count = str(len(offered))
        except TypeError:
            count = f"more than {MAX_COMPONENTS_PER_PLUGIN}"
        raise Refused(
            "too-many-components", f"{hook} offers {count}, allowed are {MAX_COMPONENTS_PER_PLUGIN}"
        )
    for one in listed:
        for text in (one.runtime, one.overrides):
            if text is not None and not isinstance(text, str):
                raise Refused(
                    "invalid-component", f"{hook}: {one.name}: runtime and overrides are texts", _place(call)
                )
        yield {"kind": hook.removeprefix("codex_"), **one.as_dict()}


def check_together(components: list[dict[str, Any]]) -> None:
    """Refuse what is only wrong in sum: too many components, a name twice."""
    if len(components) > MAX_COMPONENTS_PER_PLUGIN:
        said = f"it offers {len(components)}, allowed are {MAX_COMPONENTS_PER_PLUGIN}"
        raise Refused("too-many-components", said)
    seen: set[tuple[str, str]] = set()
    for one in components:
        if (one["kind"], one["name"]) in seen:
            raise Refused("duplicate-name", f"{one['kind']} offers {one['name']!r} twice")
        seen.add((one["kind"], one["name"]))


def _deep(error: BaseException) -> bool:
    """Whether the error was raised inside the hook rather than by our reading of its result."""
    walk = error.__traceback__
    while walk is not None:
        if walk.tb_frame.f_code.co_filename != __file__:
            return True
        walk = walk.tb_next
    return False


def _place(value: Any) -> str | None:
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, types.CodeType) else None
