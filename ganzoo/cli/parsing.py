"""Options from config fields, and what tyro makes of them: help for each option by itself, errors in one line."""

import ast
import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import operator
import re
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import tyro

from ganzoo.cli.hints import require_ours
from ganzoo.config import ranges
from ganzoo.errors import UserError, guess

BOX = "box_"
"""Fields of the parsed options that hold a group."""
SHOWN = ((True, "on"), (False, "off"), ("", "none"), ((), "none"))
"""How the help shows some defaults."""
MARKERS = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
UNIONS = (typing.Union, types.UnionType)
POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
"""Mark in the annotation of an argument without ``--``."""
REWRITTEN = {
    r"Error parsing (--\S+): invalid literal for int\(\) with base 10: (.*)": r"\1 \2: must be a whole number",
    r"Error parsing (--\S+): could not convert string to float: (.*)": r"\1 \2: must be a number",
    r"Error parsing (--\S+): no type matching .* could be instantiated from \['([^']*)'\]\. Got errors: "
    r"- <class 'int'>: invalid literal.*": r"\1 '\2': must be a whole number",
}
"""What tyro says of bad values, by pattern, and what is said here."""


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    path: str
    """Where its value goes, such as ``gan.image_size``."""
    flag: str
    """Its name with underscores, such as ``image_size`` for ``--image-size``."""
    kind: Any
    """The annotation of the field."""
    default: Any
    help: str


@dataclass(frozen=True)
class Group:
    """Options that the help shows in one box."""

    title: str
    """What the help puts before "options"; empty for the first box."""
    options: Sequence[Option]


def options_of(config: Any, prefix: str = "", flags: Mapping[str, str] | None = None) -> list[Option]:
    """Return the fields of a config as options whose defaults are its values; those of configs in it come in place.

    Args:
      config: a dataclass instance.
      prefix: of the paths.
      flags: names of options by path, where they are not the names of the fields.
    """
    hints, docs = typing.get_type_hints(type(config), include_extras=True), field_docs(type(config))
    found: list[Option] = []
    for each in dataclasses.fields(config):
        path, value = f"{prefix}{each.name}", getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            found += options_of(value, f"{path}.", flags)
            continue
        flag = (flags or {}).get(path, each.name)
        found.append(Option(path, flag, hints[each.name], value, docs.get(each.name, "")))
    return found


def parse_groups(groups: Sequence[Group], args: Sequence[str], program: str, description: str) -> dict[str, Any]:
    """Return the values of options by path.

    Args:
      groups: in the order of the help; the first has no title.
      args: what was typed after the command.
      program: the command, as it is named in help and errors.
      description: the first line of the help.

    Raises:
      UserError: an unknown option or a value of another type.
      SystemExit: the help was asked for.
    """
    _require_distinct(groups)
    first, *others = ([_field(option) for option in group.options] for group in groups)
    boxes = []
    for group, fields in zip(groups[1:], others, strict=True):
        box: Any = _record(fields)
        kind = Annotated[box, tyro.conf.arg(name=group.title)]
        boxes.append((f"{BOX}{len(boxes)}", kind, dataclasses.field(default=box())))
    options = [option for group in groups for option in group.options]
    parsed = _parse(_record([*first, *boxes]), args, program, description, options)
    sources = [parsed, *(getattr(parsed, name) for name, *_ in boxes)]
    return {
        option.path: getattr(source, option.flag)
        for group, source in zip(groups, sources, strict=True)
        for option in group.options
    }


def parse(kind: Any, args: Sequence[str], program: str) -> Any:
    """Return a command's dataclass made from what was typed; raises as ``parse_groups``.

    A field that is a dataclass is a group with its name as the title; options without a default are in the first group.
    """
    options = class_options(kind)
    by_title: dict[str, list[Option]] = {"": []}
    for option in options:
        title, dot, _ = option.path.rpartition(".")
        by_title.setdefault(title if dot and option.default is not dataclasses.MISSING else "", []).append(option)
    groups = [Group(title, found) for title, found in by_title.items()]
    values = parse_groups(groups, args, program, (kind.__doc__ or "").strip())
    return _made(kind, values)


def class_options(kind: Any, prefix: str = "") -> list[Option]:
    """Return the fields of a dataclass, also those of dataclasses in it, as options with the defaults of the class."""
    hints, docs = typing.get_type_hints(kind, include_extras=True), field_docs(kind)
    found: list[Option] = []
    for each in dataclasses.fields(kind):
        path, hint = f"{prefix}{each.name}", hints[each.name]
        if dataclasses.is_dataclass(hint):
            found += class_options(hint, f"{path}.")
        else:
            found.append(Option(path, each.name, hint, each.default, docs.get(each.name, "")))
    return found


def _made(kind: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Return a dataclass made from the values of ``class_options``."""
    hints, fields = typing.get_type_hints(kind), {}
    for each in dataclasses.fields(kind):
        path = f"{prefix}{each.name}"
        nested = dataclasses.is_dataclass(hints[each.name])
        fields[each.name] = _made(hints[each.name], values, f"{path}.") if nested else values[path]
    return kind(**fields)


@cache
def field_docs(kind: type) -> Mapping[str, str]:
    """Return the docstring of each field of a dataclass; a field that a subclass redefines keeps the base's."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        docs |= _own_docs(base)
    return docs


# tyro ---------------------------------------------------------------------------------------------------------------


def _own_docs(kind: type) -> dict[str, str]:
    """Return the docstrings that follow the fields in the source of one class, without those of its bases."""
    if not dataclasses.is_dataclass(kind):
        return {}
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # typed in by hand, or made at run time
        return {}
    docs: dict[str, str] = {}
    for field, text in itertools.pairwise(getattr(node, "body", [])):
        is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            docs[field.target.id] = " ".join(str(text.value.value).split())
    return docs


def _field(option: Option) -> tuple[str, Any, Any]:
    """Return an option as ``make_dataclass`` takes it."""
    shown = next(
        (text for default, text in SHOWN if type(option.default) is type(default) and option.default == default), None
    )
    hint = None if shown is None else f"(default: {shown})"
    kinds = [limits.kind for limits in ranges(option.kind) if limits.kind]
    text = " ".join([option.help, *(f"Takes {kind}." for kind in kinds)])
    kind = _flat(option.kind)
    kind = typing.cast("Any", Annotated)[kind, tyro.conf.arg(help=text, help_behavior_hint=hint)]
    return option.flag, kind, dataclasses.field(default=option.default)


def _flat(hint: Any) -> Any:
    """Return a union with the members of annotated unions in their place, since tyro does not look into those."""
    if typing.get_origin(hint) not in UNIONS:
        return hint
    bare = [
        (part, typing.get_args(part)[0] if typing.get_origin(part) is Annotated else part)
        for part in typing.get_args(hint)
    ]
    members = [typing.get_args(inner) if typing.get_origin(inner) in UNIONS else (part,) for part, inner in bare]
    return functools.reduce(operator.or_, itertools.chain.from_iterable(members))


def _record(fields: list[tuple[str, Any, Any]]) -> type:
    """Return a frozen dataclass without a docstring, which tyro would show."""
    record = dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)
    record.__doc__ = ""
    return record


def _require_distinct(groups: Sequence[Group]) -> None:
    """Raise ``UserError`` where two fields would be one option."""
    seen: dict[str, str] = {}
    for option in (option for group in groups for option in group.options):
        if option.flag in seen:
            name = option.flag.replace("_", "-")
            raise UserError(f"--{name} would be both {seen[option.flag]} and {option.path}; rename the model's field")
        seen[option.flag] = option.path


def _typed(option: Option) -> str:
    """Return an option as it is typed after ``--``: one that is on unless it is typed has a ``no-`` before it."""
    names = (getattr(each, "name", None) for each in getattr(option.kind, "__metadata__", ()))
    name = next((name for name in names if name), option.flag)
    return f"{'no-' * (option.default is True)}{name}".replace("_", "-")


def _parse(kind: type, args: Sequence[str], program: str, description: str, options: Sequence[Option]) -> Any:
    """Return what tyro makes of the arguments; its help stays as it is, its errors become one ``UserError``."""
    switches = [_typed(option) for option in options if isinstance(option.default, bool)]
    flags = [_typed(option) for option in options if POSITIONAL not in getattr(option.kind, "__metadata__", ())]
    if not {"-h", "--help"} & set(args):
        require_ours(args, switches, [flag for flag in flags if flag not in switches])
    framed = io.StringIO()
    try:
        with contextlib.redirect_stderr(framed):
            return tyro.cli(kind, args=list(args), prog=program, description=description, config=MARKERS)
    except SystemExit as leaving:
        if not leaving.code:
            raise
    known = [*flags, "help"]
    for arg in args:
        typed = arg.split("=")[0].replace("_", "-")
        if typed.startswith("--") and typed[2:] not in known:
            hint = guess(typed[2:], known).replace("'", "'--", 1)
            raise UserError(f"unknown option {typed}:{hint} see {program} --help")
    message = _first_sentence(framed.getvalue())
    for pattern, rewritten in REWRITTEN.items():
        message = re.sub(pattern, rewritten, message)
    raise UserError(f"{message} (see {program} --help)")


def _first_sentence(box: str) -> str:
    """Return the text of a framed message up to its first rule, as one line; an ASCII terminal has an ASCII frame."""
    words: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯|+ ")
        is_rule = set(text) <= set("─-") and bool(text)
        if is_rule and words:
            break
        words += [] if is_rule or not text else [text]
    return " ".join(words)
