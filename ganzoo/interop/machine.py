"""A machine for pickles that builds data and can do nothing else.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program names: to load a file
is to run it. This one knows the opcodes that carry data. A name in the program stands for one of the constructors
that it was given, each a function of ours; any other name ends the reading, and nothing is ever imported.

Time and memory are bounded by the size of the file: every operation adds at most what it read.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ganzoo.errors import UserError

MAX_OPERATIONS = 200_000
"""Of one file. Snapshots of StyleGAN3, the longest known, have about 50,000."""
MAX_MARKS = 100
"""Of collections begun and not yet closed."""
MAX_KEY = 2**53
"""Of whole numbers as keys: larger ones could be chosen to have equal hashes."""
MAX_NUMBER_BITS = 128
MAX_LINE = 1_000


@dataclass(frozen=True)
class Constructor:
    """What a name in a pickle stands for."""

    name: str
    """Module and name, as in the pickle."""
    call: Callable[..., Any] | None = None
    """What calling it makes; None where it may be named but not called."""
    value: Any = None
    """What it says by being named, such as the type of a storage's elements."""


class Built:
    """Something that a pickle makes first and fills in later."""

    def build(self, state: Any) -> None:
        """Take over its state."""
        raise NotImplementedError


@dataclass
class Meter:
    """What may yet be spent on one file, over all the pickles in it."""

    operations: int = MAX_OPERATIONS
    bytes: int = 0
    """Of arrays. They may share what they are stored in, so they could be more than the file."""

    def spend(self, *, operations: int = 0, size: int = 0) -> None:
        """Raise ``UserError`` when there is no more."""
        self.operations -= operations
        self.bytes -= size
        if self.operations < 0:
            raise UserError(f"refused: a pickle of more than {MAX_OPERATIONS} operations")
        if self.bytes < 0:
            raise UserError("refused: arrays that are together much larger than the file")


class Source:
    """Reads of an open file of known size, which never ask for more than is there."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.tell = file.tell

    @property
    def left(self) -> int:
        """Bytes to the end."""
        return self._size - self.tell()

    def read(self, count: int) -> bytes:
        """So many bytes, or ``UserError``."""
        if not 0 <= count <= self.left:
            raise UserError(f"truncated: {count} bytes are announced at byte {self.tell()}, {self.left} are there")
        return self._file.read(count)

    def readline(self) -> bytes:
        """To the end of the line, of a limited length."""
        return self._file.readline(MAX_LINE)


@dataclass
class Machine:
    """One run over one pickle."""

    source: Source
    constructors: Mapping[str, Constructor]
    """By module and name with a dot between."""
    meter: Meter
    persistent: Callable[[Any], Any] | None = None
    """What a persistent id stands for; None where there are none."""
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """The object that the pickle describes, made of plain Python and of what the constructors make.

        Raises:
          UserError: the pickle is damaged, or asks for anything but data; it says what for.
        """
        start = position = self.source.tell()
        try:
            for operation, argument, at in self._operations():
                position = at or 0
                if operation == "STOP":
                    return self.stack.pop()
                self.meter.spend(operations=1)
                if operation not in OPERATIONS:
                    raise UserError(f"refused: the opcode {operation} at byte {position}")
                OPERATIONS[operation](self, argument)
        except UserError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            what = "not a pickle" if position == start else "damaged"
            raise UserError(
                f"{what}: no sense is to be made of what follows byte {position} ({named(error, 100)})"
            ) from error
        raise UserError("damaged: the pickle has no end")

    def _operations(self) -> Iterator[tuple[str, Any, int | None]]:
        for operation, argument, position in pickletools.genops(self.source):  # ty: ignore[invalid-argument-type]
            yield operation.name, argument, position

    def closed(self) -> list[Any]:
        """What was put on the stack since the last mark, taken from it."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def taken(self, count: int) -> list[Any]:
        """The last ``count`` items, taken from the stack; none from before a mark."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise LookupError("the stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items


# The opcodes --------------------------------------------------------------------------------------------------------


def named(thing: Any, length: int = 80) -> str:
    """How to speak of something in a file: printable, on one line, and not long."""
    is_shape = type(thing) is tuple and len(thing) <= 8 and set(map(type, thing)) <= {int}
    text = str(thing) if isinstance(thing, str | int | Exception) or is_shape else type(thing).__name__
    text = ascii(text[: length + 1])[1:-1]
    return text if len(text) <= length else text[:length] + "..."


def _nothing(machine: Machine, argument: Any) -> None:
    del machine, argument


def _push(machine: Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _push_number(machine: Machine, argument: int) -> None:
    if argument.bit_length() > MAX_NUMBER_BITS:
        raise UserError(f"refused: a whole number of {argument.bit_length()} bits")
    machine.stack.append(argument)


def _constant(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(make())


def _mark(machine: Machine, argument: Any) -> None:
    del argument
    if len(machine.marks) == MAX_MARKS:
        raise UserError(f"refused: collections nested more than {MAX_MARKS} deep")
    machine.marks.append(len(machine.stack))


def _tuple(count: int | None) -> Callable[[Machine, Any], None]:
    def make(machine: Machine, argument: Any) -> None:
        del argument
        machine.stack.append(tuple(machine.closed() if count is None else machine.taken(count)))

    return make


def _append(machine: Machine, items: list[Any]) -> None:
    _on_top(machine, list).extend(items)


def _add(machine: Machine, items: list[Any]) -> None:
    _on_top(machine, set).update(map(checked_key, items))


def _set_items(machine: Machine, items: list[Any]) -> None:
    target = _on_top(machine, dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[checked_key(key)] = value


def _on_top(machine: Machine, kind: type) -> Any:
    """What is on top of the stack, which must be just that: nothing else has its methods called."""
    if type(machine.stack[-1]) is not kind:
        raise UserError(f"refused: items for {named(machine.stack[-1])}, which is no {kind.__name__}")
    return machine.stack[-1]


def checked_key(key: Any) -> Any:
    """The key of a dictionary or member of a set; only what is quickly hashed and compared."""
    if type(key) not in (str, int, bool, float, type(None)) or (type(key) is int and abs(key) > MAX_KEY):
        raise UserError(f"refused: a key of type {type(key).__name__}")
    return key


def _get(machine: Machine, argument: int) -> None:
    if argument not in machine.memo:
        raise LookupError(f"number {argument} of what was put aside")
    machine.stack.append(machine.memo[argument])


def _put(machine: Machine, argument: int) -> None:
    machine.memo[argument] = machine.stack[-1]


def _memoize(machine: Machine, argument: Any) -> None:
    del argument
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _global(machine: Machine, argument: str) -> None:
    machine.stack.append(_constructor(machine, argument.replace(" ", ".", 1)))


def _stack_global(machine: Machine, argument: Any) -> None:
    del argument
    module, name = machine.taken(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise UserError(f"refused: a name of {named(module)} and {named(name)}")
    machine.stack.append(_constructor(machine, f"{module}.{name}"))


def _constructor(machine: Machine, name: str) -> Constructor:
    if name not in machine.constructors:
        raise UserError(f"refused: the name {named(name)}, which is not among those that carry data")
    return machine.constructors[name]


def _call(machine: Machine, argument: Any) -> None:
    del argument
    constructor, arguments = machine.taken(2)
    if not isinstance(constructor, Constructor) or constructor.call is None:
        name = constructor.name if isinstance(constructor, Constructor) else named(constructor)
        raise UserError(f"refused: a call of {name}")
    if type(arguments) is not tuple:
        raise UserError(f"refused: a call of {constructor.name} with {named(arguments)} for arguments")
    try:
        machine.stack.append(constructor.call(*arguments))
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"refused: a call of {constructor.name} with unusual arguments ({named(error)})") from error


def _build(machine: Machine, argument: Any) -> None:
    del argument
    (state,) = machine.taken(1)
    target = machine.stack[-1]
    if type(target) is dict:  # an ordered dictionary with attributes of its own, such as those of a state dict
        return
    if not isinstance(target, Built):
        raise UserError(f"refused: attributes for {named(target)}")
    try:
        target.build(state)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"refused: a state of {type(target).__name__} that is none ({named(error)})") from error


def _persistent(machine: Machine, argument: Any) -> None:
    del argument
    if machine.persistent is None:
        raise UserError("refused: a persistent id, where nothing is stored beside the pickle")
    machine.stack.append(machine.persistent(*machine.taken(1)))


OPERATIONS: Mapping[str, Callable[[Machine, Any], None]] = {
    # the program itself
    "PROTO": _nothing,
    "FRAME": _nothing,
    # values
    "NONE": _push,
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "BINFLOAT"), _push),
    **dict.fromkeys(("LONG1", "LONG4"), _push_number),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING"), _push),  # of Python 2, as Latin-1
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _push),
    # collections
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_SET": _constant(set),
    "MARK": _mark,
    "TUPLE": _tuple(None),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": lambda machine, argument: _append(machine, machine.taken(1)),
    "APPENDS": lambda machine, argument: _append(machine, machine.closed()),
    "ADDITEMS": lambda machine, argument: _add(machine, machine.closed()),
    "SETITEM": lambda machine, argument: _set_items(machine, machine.taken(2)),
    "SETITEMS": lambda machine, argument: _set_items(machine, machine.closed()),
    # what was there before
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _get),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": _memoize,
    # constructors
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
"""All that the machine does, by the names of ``pickletools``; any other opcode is refused."""
