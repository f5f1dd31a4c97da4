"""Reading the text of a compiled program: XLA's optimised HLO, for any platform."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

BITS: Mapping[str, float] = {
    "pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16, "s32": 32, "u32": 32, "s64": 64, "u64": 64,
    "f16": 16, "bf16": 16, "f32": 32, "f64": 64, "c64": 64, "c128": 128, "f8e4m3fn": 8, "f8e5m2": 8, "token": 0,
}  # fmt: skip
ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
CALLED = re.compile(r"\b(?:calls|to_apply|called_computations)=\{?%?([\w.\-]+)")
BRANCHES = re.compile(r"\b(?:branch_computations=\{([^}]*)\}|true_computation=(\S+?), false_computation=([\w.\-%]+))")
LOOPS = re.compile(r"\bcondition=%?([\w.\-]+), body=%?([\w.\-]+)")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclass(frozen=True)
class Array:
    """Type, size and place of an array."""

    kind: str
    """Such as "f32"."""
    dims: tuple[int, ...]
    layout: str
    """Order of the axes in memory, tiles and the memory space."""

    @property
    def size(self) -> int:
        """Bytes of its values, without what tiles add."""
        return int(prod(self.dims) * BITS.get(self.kind, 0)) // 8

    @property
    def stored(self) -> int:
        """Bytes in the device's main memory; 0 for an array that is kept in a faster one."""
        return 0 if "S(" in self.layout else self.size


@dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    op: str
    """Such as "fusion"; of a custom call, "custom-call"."""
    result: tuple[Array, ...]
    operands: tuple[str, ...]
    literal: str
    """What is between the parentheses, as it is written."""
    attributes: str
    is_root: bool

    @cached_property
    def called(self) -> str:
        """The computation of a fusion, a call or an asynchronous start; empty for any other instruction."""
        found = CALLED.search(self.attributes)
        return found[1] if found else ""

    @cached_property
    def target(self) -> str:
        """Name of what a custom call calls; empty for any other instruction."""
        found = re.search(r'custom_call_target="([^"]*)"', self.attributes) if self.op == "custom-call" else None
        return found[1] if found else ""

    @property
    def size(self) -> int:
        """Bytes of the result."""
        return sum(array.size for array in self.result)

    @property
    def stored(self) -> int:
        """Bytes of the result in the device's main memory."""
        return sum(array.stored for array in self.result)


Computation = Mapping[str, Instruction]


@dataclass(frozen=True)
class Program:
    """A compiled program as computations by name."""

    computations: Mapping[str, Computation]
    entry: str

    def executed(
        self, computation: str | None = None, times: int = 1
    ) -> Iterator[tuple[Instruction, Computation, int]]:
        """Yield the instructions that are executed, each with its computation and how often it is.

        Bodies of loops count as often as the loop is known to turn; of branches, the longest is taken. What is within
        fusions is not yielded.
        """
        table = self.computations[computation or self.entry]
        for each in table.values():
            yield each, table, times
            if each.op == "while" and (loop := LOOPS.search(each.attributes)):
                yield from self.executed(loop[2], times * self.trips(each))
            elif each.op == "conditional":
                yield from self.executed(max(self._branches(each), key=self._length), times)
            elif each.op in ("call", "async-start") and each.called in self.computations:
                yield from self.executed(each.called, times)

    def within(self, instruction: Instruction) -> Iterator[tuple[Instruction, Computation]]:
        """Yield the instructions in a fusion, also those of fusions in it; nothing for any other instruction."""
        if instruction.op != "fusion" or instruction.called not in self.computations:
            return
        table = self.computations[instruction.called]
        for each in table.values():
            yield each, table
            yield from self.within(each)

    def trips(self, loop: Instruction) -> int:
        """Return how often a loop turns, as the compiler found out or its condition says; 1 where that is unknown."""
        if known := TRIPS.search(loop.attributes):
            return int(known[1])
        found = LOOPS.search(loop.attributes)
        condition = self.computations.get(found[1], {}) if found else {}
        whole = [each for each in condition.values() for each in (each, *(inner for inner, _ in self.within(each)))]
        limits = {each.literal for each in whole if each.op == "constant" and each.literal.isdigit()}
        return int(limits.pop()) if len(limits) == 1 else 1

    def _branches(self, instruction: Instruction) -> list[str]:
        found = BRANCHES.search(instruction.attributes)
        names = found[1].split(", ") if found and found[1] else [*found.groups()[1:]] if found else []
        return [name.lstrip("%") for name in names]

    def _length(self, computation: str) -> int:
        return sum(times for _, _, times in self.executed(computation))


def parse(text: str) -> Program:
    """Return a program from its text, as ``compiled.as_text()`` gives it."""
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if head := HEAD.match(line):
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif line == "}":
            current = None
        elif current is not None and (found := LINE.match(line)):
            each = _instruction(found[2], found[3], bool(found[1]))
            current[each.name] = each
    return Program(computations, entry)


def arrays(text: str) -> tuple[Array, ...]:
    """Return the arrays in the text of a type, such as ``(f32[8,4]{1,0}, s32[])``."""
    return tuple(
        Array(kind, tuple(int(n) for n in dims.split(",")) if dims else (), layout)
        for kind, dims, layout in ARRAY.findall(text)
    )


def _instruction(name: str, rest: str, is_root: bool) -> Instruction:
    """Return the instruction of a line after its name: type, operation, operands in parentheses, attributes."""
    end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
    start = rest.index("(", end)
    stop = _closing(rest, start)
    inside = rest[start + 1 : stop - 1]
    op = rest[end:start].strip()
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    return Instruction(name, op, arrays(rest[:end]), operands, inside, rest[stop:], is_root)


def _closing(text: str, start: int) -> int:
    """Return the place after the parenthesis that closes the one at ``start``."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return len(text)
