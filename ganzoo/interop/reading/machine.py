"""A pickle machine that builds data and can do nothing else.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program names: loading a file
runs its code. The machine of this module executes only opcodes that carry data. A name in the program must be one of
the given constructors, which are functions of this library. Any other name is only a name: it may be kept as data, and
it may be the class of a module, which becomes a record of its state. A call of it is refused; nothing is ever imported.

Time and memory are bounded by the size of the file: an operation adds at most as much as it read, and what makes more
of it (a call or a state that copies what the pickle has put aside, a walk through parts that are shared) pays for every
byte and every item with the ``Meter`` of the file.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ganzoo.errors import UserError, printable

MAX_OPERATIONS = 200_000
"""Largest number of operations per file. Snapshots of StyleGAN3, the longest known, have about 50,000."""
MAX_MARKS = 100
"""Largest number of open collections."""
MAX_KEY = 2**53
"""Largest whole number as a key: larger ones could be chosen to have equal hashes."""
MAX_NUMBER_BITS = 128
MAX_LINE = 1_000
"""Largest length of a line of text and of a name, of an object or of an array."""
ITEM, PART = 64, 256
"""Bytes that count for a copied item of a collection, and for a part that is found in a file, besides its name."""
COLLECTIONS = (tuple, list, set, dict)


@dataclass(frozen=True)
class Constructor:
    """Replacement of an object that a pickle names."""

    name: str
    """``module.name``, as in the pickle."""
    call: Callable[..., Any] | None = None
    """Function to call instead of the named object; None if the object may be named but not called."""
    value: Any = None
    """Value of the name itself, such as the element type of a storage."""
    is_known: bool = True
    """Whether the name is among the given ones."""


class Built:
    """Object that a pickle creates first and fills later."""

    def build(self, state: Any) -> None:
        """Set the object's state."""
        raise NotImplementedError


class Keyed:
    """Object that may be a key, as parameters are in optimizers; a text that is only its own stands for it."""


@dataclass
class Foreign(Built):
    """Module or optimizer of a class that is not among the given names: the name of its class and its attributes."""

    name: str
    """``module.name``, as in the pickle."""
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The name of the class without its module."""
        return self.name.rpartition(".")[2]

    def build(self, state: Any) -> None:
        """Set the attributes, which must be those of a module or an optimizer; refuse any other object."""
        if not is_module(state) and not is_optimizer(state):
            raise refusal(self.name)
        self.state.update(state)


def is_module(state: Any) -> bool:
    """Return whether these are the attributes of a module of PyTorch."""
    return type(state) is dict and type(state.get("_modules")) is dict and "_parameters" in state


def is_optimizer(state: Any) -> bool:
    """Return whether these are the attributes, or the state dict, of an optimizer."""
    return type(state) is dict and "state" in state and "param_groups" in state


def refusal(name: str) -> UserError:
    """Return the error of a name that may not be called."""
    return UserError(f"refused: the name {named(name)}, which is not among those that carry data")


def foreign(constructor: Any, arguments: Any) -> Foreign:
    """Return an object without attributes of a class whose name is unknown; refuse arguments."""
    if type(arguments) is not tuple or arguments:
        raise refusal(constructor.name)
    return Foreign(constructor.name)


@dataclass
class Meter:
    """Remaining budget of one file, shared by all pickles in the file."""

    operations: int = MAX_OPERATIONS
    bytes: int = 0
    """Remaining bytes of arrays, copies and parts: what is shared could together exceed the size of the file by far."""

    def spend(self, *, operations: int = 0, size: int = 0) -> None:
        """Reduce the budget; raise ``UserError`` if the budget is exhausted."""
        self.operations -= operations
        self.bytes -= size
        if self.operations < 0:
            raise UserError(f"refused: a pickle of more than {MAX_OPERATIONS} operations")
        if self.bytes < 0:
            raise UserError("refused: arrays or other parts that are together much larger than the file")

    def copy(self, thing: Any) -> None:
        """Pay for a copy of a text, of bytes, or of the items of a collection; anything else is free."""
        if type(thing) in COLLECTIONS:
            self.spend(size=ITEM * len(thing))
        elif type(thing) in (str, bytes):
            self.spend(size=len(thing))

    def part(self, name: str = "") -> None:
        """Pay for a part that is found in a file; refuse a name that is longer than any in a file of networks."""
        if len(name) > MAX_LINE:
            raise UserError(f"refused: a name of {len(name):,} letters, {named(name)}")
        self.spend(size=PART + len(name))


class Source:
    """Open file of known size, with reads that never go beyond its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.tell = file.tell

    @property
    def left(self) -> int:
        """Number of bytes to the end of the file."""
        return self._size - self.tell()

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes; raise ``UserError`` if fewer are left."""
        if not 0 <= count <= self.left:
            raise UserError(
                f"truncated: {count} bytes are announced at byte {self.tell()}, but only {self.left} are left"
            )
        return self._file.read(count)

    def readline(self) -> bytes:
        """Return the bytes to the end of the line, at most ``MAX_LINE``."""
        return self._file.readline(MAX_LINE)


@dataclass
class Machine:
    """Interpreter of one pickle."""

    source: Source
    constructors: Mapping[str, Constructor]
    """Constructors by ``module.name``."""
    meter: Meter
    persistent: Callable[[Any], Any] | None = None
    """Function from a persistent id to its object; None refuses persistent ids."""
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    foreign: list[Foreign] = field(default_factory=list)
    """All modules of unknown classes so far."""

    def run(self) -> Any:
        """Return the object of the pickle, made of plain Python objects and results of the constructors.

        Raises:
          UserError: the pickle is damaged, or asks for anything but data; the message names what was refused.
        """
        start = position = self.source.tell()
        try:
            for operation, argument, at in self._operations():
                position = at or 0
                if operation == "STOP":
                    return self._finished(self.stack.pop())
                self.meter.spend(operations=1)
                if operation not in OPERATIONS:
                    self._check_names(self.stack)
                    raise UserError(f"refused: the opcode {operation} at byte {position}")
                OPERATIONS[operation](self, argument)
        except UserError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            what = "not a pickle" if position == start else "damaged"
            raise UserError(f"{what}: cannot parse the pickle after byte {position} ({named(error, 100)})") from error
        raise UserError("damaged: the pickle has no end")

    def _operations(self) -> Iterator[tuple[str, Any, int | None]]:
        for operation, argument, position in pickletools.genops(self.source):  # ty: ignore[invalid-argument-type]
            yield operation.name, argument, position

    def _finished(self, result: Any) -> Any:
        """Return the result; refuse names and objects of which only their class is known."""
        self._check_names([result])
        for each in self.foreign:
            if not each.state:
                raise refusal(each.name)
        return result

    def _check_names(self, things: list[Any]) -> None:
        for thing in things:
            if isinstance(thing, Constructor) and not thing.is_known:
                raise refusal(thing.name)

    def closed(self) -> list[Any]:
        """Pop the items that were pushed since the last mark."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def taken(self, count: int) -> list[Any]:
        """Pop the last ``count`` items; raise ``LookupError`` if fewer were pushed since the last mark."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise LookupError("the stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items


# The opcodes --------------------------------------------------------------------------------------------------------


def named(thing: Any, length: int = 80) -> str:
    """Return a printable name of an object in a file, on one line and of limited length, for messages."""
    if isinstance(thing, Foreign) or (isinstance(thing, Constructor) and not thing.is_known):
        return printable(thing.name, length)
    is_shape = type(thing) is tuple and len(thing) <= 8 and set(map(type, thing)) <= {int}
    text = str(thing) if isinstance(thing, str | int | Exception) or is_shape else type(thing).__name__
    return printable(text, length)


def _nothing(machine: Machine, argument: Any) -> None:
    del machine, argument


def _push(machine: Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _pop(machine: Machine, argument: Any) -> None:
    del argument
    machine.taken(1)


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
        put(target, checked_key(key), value)


def put(target: dict[Any, Any], key: Any, value: Any, what: str = "items") -> None:
    """Add an item to a dictionary; refuse a second one of the same name, which would replace the first in silence."""
    if key in target:
        raise UserError(f"refused: two {what} of the name {named(key)}")
    target[key] = value


def _on_top(machine: Machine, kind: type) -> Any:
    """Return the top of the stack, which must be exactly of type ``kind``: no other type has its methods called."""
    if type(machine.stack[-1]) is not kind:
        raise UserError(f"refused: items for {named(machine.stack[-1])}, which is not a {kind.__name__}")
    return machine.stack[-1]


def checked_key(key: Any) -> Any:
    """Return a dictionary key or set member; refuse all types but those that are hashed and compared quickly."""
    if isinstance(key, Keyed):
        return f"<{type(key).__name__} {id(key)}>"
    if type(key) not in (str, int, bool, float, type(None)) or (type(key) is int and abs(key) > MAX_KEY):
        raise UserError(f"refused: a key of type {type(key).__name__}")
    return key


def _get(machine: Machine, argument: int) -> None:
    if argument not in machine.memo:
        raise LookupError(f"memo number {argument} does not exist")
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
    if len(name) > 2 * MAX_LINE:
        raise UserError(f"refused: a name of {len(name):,} letters, {named(name)}")
    return machine.constructors.get(name) or Constructor(name, is_known=False)


def _call(machine: Machine, argument: Any) -> None:
    del argument
    constructor, arguments = machine.taken(2)
    if isinstance(constructor, Constructor) and not constructor.is_known:
        raise refusal(constructor.name)
    if not isinstance(constructor, Constructor) or constructor.call is None:
        name = constructor.name if isinstance(constructor, Constructor) else named(constructor)
        raise UserError(f"refused: a call of {name}")
    if type(arguments) is not tuple:
        raise UserError(f"refused: a call of {constructor.name} with {named(arguments)} as arguments")
    for each in arguments:
        machine.meter.copy(each)
    try:
        made = constructor.call(*arguments)
        machine.foreign += [made] if isinstance(made, Foreign) else []
        machine.stack.append(made)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"refused: a call of {constructor.name} with unusual arguments ({named(error)})") from error


def _new(machine: Machine, argument: Any) -> None:
    constructor = machine.stack[-2]
    if not isinstance(constructor, Constructor) or constructor.is_known:
        return _call(machine, argument)
    made = foreign(*machine.taken(2))
    machine.foreign.append(made)
    machine.stack.append(made)
    return None


def _build(machine: Machine, argument: Any) -> None:
    del argument
    (state,) = machine.taken(1)
    target = machine.stack[-1]
    if type(target) is dict:  # ignore the attributes of ordered dictionaries, such as state dicts
        return
    machine.meter.copy(state)
    if not isinstance(target, Built):
        raise UserError(f"refused: attributes for {named(target)}")
    try:
        target.build(state)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"refused: an invalid state of a {type(target).__name__} ({named(error)})") from error


def _persistent(machine: Machine, argument: Any) -> None:
    del argument
    if machine.persistent is None:
        raise UserError("refused: a persistent id, where nothing is stored beside the pickle")
    machine.stack.append(machine.persistent(*machine.taken(1)))


OPERATIONS: Mapping[str, Callable[[Machine, Any], None]] = {
    # structure of the program
    "PROTO": _nothing,
    "FRAME": _nothing,
    # values
    "NONE": _push,
    "POP": _pop,
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
    # memo
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _get),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": _memoize,
    # constructors
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _new,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
"""All supported opcodes, by the names of ``pickletools``; any other opcode is refused."""
