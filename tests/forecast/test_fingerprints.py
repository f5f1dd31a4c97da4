"""Compiled programs are as recorded, for a processor, and for a TPU and a GPU that are not there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from forecast.fingerprints import (
    PROGRAMS,
    TABLE,
    TOPOLOGIES,
    changes,
    fingerprint,
    missing,
    recorded,
    table,
    unrecorded,
)
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ganzoo.forecast import parse_topology

SHAPE = (64, 64, 32, 64)


def plain(x: jax.Array) -> jax.Array:
    return jnp.sin(x) + 1


def turned(x: jax.Array) -> jax.Array:
    return jnp.sin(x).swapaxes(1, 3) + 1


def change(mesh: Mesh, before: Callable[..., Any], after: Callable[..., Any]) -> list[str]:
    """What the fingerprint says when one function takes the place of another."""
    split = NamedSharding(mesh, PartitionSpec("data"))
    found = [
        {"f": fingerprint(jax.jit(f, in_shardings=split).lower(jax.ShapeDtypeStruct(SHAPE, "float32")).compile())}
        for f in (before, after)
    ]
    return changes(*found)


def names_the_transpose(lines: list[str]) -> bool:
    return any(line.startswith("f: layout_changes was 0 and is ") for line in lines)


def test_a_transpose_that_somebody_adds_is_named() -> None:
    mesh = parse_topology("cpu:2").mesh()
    assert names_the_transpose(change(mesh, plain, turned))
    assert change(mesh, plain, plain) == []


@pytest.mark.slow
def test_a_transpose_is_named_on_a_tpu() -> None:
    if reason := missing("v5e:2x4"):
        pytest.skip(reason)
    assert names_the_transpose(change(parse_topology("v5e:2x4").mesh(), plain, turned))


def test_changes_of_five_percent_pass() -> None:
    known = {"a": {"loops": 100, "gathers": 0}}
    assert changes(known, {"a": {"loops": 105, "gathers": 0}}) == []
    assert changes(known, {"a": {"loops": 94, "gathers": 1}}) == [
        "a: gathers was 0 and is 1",
        "a: loops was 100 and is 94",
    ]
    assert changes(known, {"b": {}}) == ["a: only in one of the two", "b: only in one of the two"]


def test_the_table_has_all_programs() -> None:
    assert table().keys() == TOPOLOGIES.keys()
    for topology, versions in table().items():
        names = {f"{preset}, {phase}" for preset, phases in PROGRAMS[topology].items() for phase in phases}
        assert versions
        assert all(programs.keys() == names for programs in versions.values())


@pytest.mark.slow
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_programs_are_as_recorded(topology: str) -> None:
    if reason := missing(topology) or unrecorded(topology):
        pytest.skip(reason)
    command = [sys.executable, str(TABLE.with_name("fingerprints.py")), "--print", topology]
    env = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert changes(recorded(topology) or {}, json.loads(ended.stdout.splitlines()[-1])) == []
