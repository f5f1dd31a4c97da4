"""What a run takes: phases that make up a step, warnings with remedies, text and JSON."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import pytest

import ganzoo
from ganzoo.errors import UserError
from ganzoo.forecast import Forecast, forecast, parse_topology
from ganzoo.forecast.forecast import arguments, needed, phases_of
from ganzoo.forecast.report import lines, to_dict, warnings
from ganzoo.forecast.roofline import Roofline
from ganzoo.gan import Stage
from ganzoo.runs.config import find_experiment
from ganzoo.training.report import Memory, flops

SMALL = {"image_size": 16, "generator_features": 2, "discriminator_features": 2}
GANS = {
    "dcgan": lambda: ganzoo.create("dcgan", "tiny", r1_gamma=1.0, augment="bgc"),
    "dcgan alternate": lambda: ganzoo.create("dcgan", "paper", **SMALL),
    "stylegan": lambda: ganzoo.create("stylegan", "tiny"),
    "stylegan2": lambda: ganzoo.create("stylegan2", "tiny"),
    "stylegan3": lambda: ganzoo.create("stylegan3", "tiny"),
    "r3gan": lambda: ganzoo.create("r3gan", "tiny"),
}


@pytest.mark.parametrize(
    "name", [name if "dcgan" in name else pytest.param(name, marks=pytest.mark.slow) for name in GANS]
)
def test_phases_make_up_a_step(name: str) -> None:
    gan = GANS[name]()
    args = arguments(gan, 8)
    assert all(stage.phases for stage in gan.stages)
    for stage in gan.stages[-1:]:
        whole = flops(jax.make_jaxpr(stage.step)(*args).jaxpr)
        parts = [(flops(jax.make_jaxpr(step)(*args).jaxpr).most, n) for step, n in phases_of(stage).values()]
        assert whole.least == sum(count for count, interval in parts if interval == 1)
        assert whole.most == sum(count for count, _ in parts)


def test_networks_with_real_images_of_their_own_get_them() -> None:
    _, batch, _ = arguments(ganzoo.create("r3gan", "tiny", label_size=3), 8)
    assert batch["generator"] == {name: batch[name] for name in ("image", "label")}
    assert "generator" not in arguments(ganzoo.create("dcgan", "tiny"), 8)[1]


def test_a_stage_that_tells_no_phases_is_one() -> None:
    stage = Stage("own", lambda state, batch, key: (state, {}))
    assert phases_of(stage) == {"step": (stage.step, 1)}


@pytest.fixture(scope="module")
def tiny() -> Forecast:
    """DCGAN on two devices of the processor."""
    return forecast(find_experiment("dcgan-tiny"), parse_topology("cpu:2"))


def test_a_forecast_of_a_small_run(tiny: Forecast, tmp_path: Path) -> None:
    (stage,) = tiny.stages
    assert (stage.batch_size, stage.steps) == (16, 125)
    assert [phase.name for phase in stage.phases] == ["both networks", "averages"]
    first, second = (phase.counts for phase in stage.phases)
    assert first is not None
    assert second is not None
    assert first.flops > 0 == second.flops
    assert first.collectives > 0
    assert stage.average(lambda counts: counts.flops) == first.flops
    assert stage.memory.peak > 0
    assert tiny.seconds is None
    shown = "\n".join(lines(tiny))
    assert "both networks" in shown
    assert "no time" in shown
    assert json.loads(json.dumps(to_dict(tiny)))["stages"][0]["phases"][0]["counts"]["flops"] == first.flops


def timed(found: Forecast, seconds: float, interval: int = 1) -> Forecast:
    """The same run on eight chips, where every phase takes so long."""
    time = Roofline(seconds, {"memory": 1.0}, 2 * seconds, 0.25)
    (stage,) = found.stages
    first, second = (replace(phase, roofline=time) for phase in stage.phases)
    phases = (first, replace(second, interval=interval))
    return replace(found, topology=parse_topology("v5e:2x4"), stages=(replace(stage, phases=phases),))


def test_phases_weigh_by_their_interval(tiny: Forecast) -> None:
    found = timed(tiny, 1.0, interval=4)
    assert found.stages[0].step_seconds == 1.25
    assert found.seconds == 125 * 1.25
    (roof, compiler, *_) = (line for line in lines(found) if "device-hours" in line)
    assert roof == "at the roofline: 13 images/s, 0.0434 hours, 0.347 device-hours"
    assert compiler.startswith("as the compiler estimates: 6 images/s")


def test_warnings_name_the_remedy(tiny: Forecast) -> None:
    found = timed(tiny, 1.0)
    few, padding = warnings(found, found.stages[0])
    assert "2 images at once on a chip" in few
    assert "--batch-size 64" in few
    assert "75% of the matrix unit's work" in padding
    stage = found.stages[0]
    full = replace(stage.phases[0], memory=Memory(10**9, 40 * 10**9, 16 * 10**9))
    large, *_ = warnings(found, replace(stage, batch_size=64, phases=(full, stage.phases[1])))
    assert large.startswith("both networks needs 41.0 GB of the 16.0 GB of a device: --micro-batch 16 would")


def test_a_compiler_that_wants_more_memory_says_how_much() -> None:
    told = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory. Used 17.97G of 15.75G hbm. Exceeded by")
    memory = needed(told, 16 * 10**9)
    assert memory.peak == int(17.97 * 2**30)
    assert not memory.fits
    assert not needed(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no"), 16 * 10**9).fits
    with pytest.raises(UserError, match="the compiler gave up: INTERNAL: oh"):
        needed(jax.errors.JaxRuntimeError("INTERNAL: oh\nmore"), None)


def test_batches_and_stages_are_checked_before_anything_is_compiled() -> None:
    with pytest.raises(UserError, match="multiple of 3 devices"):
        forecast(find_experiment("dcgan-tiny"), parse_topology("cpu:3"))
    with pytest.raises(UserError, match="stage = '9x9': must be one of 4x4, 8x8"):
        forecast(find_experiment("stylegan-tiny"), parse_topology("cpu"), stage="9x9")
