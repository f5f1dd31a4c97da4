"""What is measured by benchmark.py: the programs of our side, the names of theirs, and how often each part runs.

Adding a benchmark is one line in ``BENCHMARKS``.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from reference_process import STEP, Reference

import ganzoo
from ganzoo.data import DataConfig, open_dataset
from ganzoo.data.feed import Feed
from ganzoo.errors import UserError
from ganzoo.metrics import inception
from ganzoo.models import r3gan
from ganzoo.training import parallel, report
from ganzoo.typing import Batch, State, Step


@dataclass
class Ours:
    """Our side, compiled: ``run(n)`` makes n dispatches, waits, and returns the seconds spent outside the program."""

    run: Callable[[int], float]
    images: int
    """Of one dispatch."""
    steps: int
    """Of one dispatch."""
    flops: float
    """Of one dispatch, in multiplications and additions that the method needs."""
    compile_s: float
    trace_s: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Benchmark:
    """One line of the table: both sides, in one or several parts."""

    summary: str
    ours: Callable[[str], Mapping[str, Ours]]
    """The parts by name, for a dtype."""
    reference: Reference | None
    batch_size: int
    shares: Mapping[str, float]
    """How often each part runs in an average step."""
    theirs: Mapping[str, str]
    """The names of the parts in the reference, where there is one."""
    without: Callable[[str], Mapping[str, Ours]] | None = None
    """Our side again, without that whose cost is measured."""


# Our side -----------------------------------------------------------------------------------------------------------


def dcgan_steps(image_size: int, batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """One whole step per dispatch, on a batch that is on the device already."""
    gan = ganzoo.create("dcgan", "torch", image_size=image_size, dtype=dtype)
    images = np.random.default_rng(0).integers(0, 256, (batch_size, image_size, image_size, 3), dtype=np.uint8)
    batch = {"image": jnp.asarray(images)}
    states = [gan.init(jax.random.key(0))]
    return {STEP: _training(gan.step, states, batch, dcgan_flops(gan.config, batch_size))}


def dcgan_scan(image_size: int, batch_size: int, steps: int, dtype: str) -> Mapping[str, Ours]:
    """``steps`` steps per dispatch by the library's own feed: the images live on the device, indices are sent."""
    gan = ganzoo.create("dcgan", "torch", image_size=image_size, dtype=dtype)
    mesh = parallel.data_mesh(1)
    dataset = open_dataset(DataConfig(labels="none"), (image_size, image_size, 3))
    feed = Feed(dataset, seed=0, mesh=mesh)
    state, key = parallel.jit_init(gan.init, mesh)(jax.random.key(0)), jax.random.key(1)
    payloads = feed.payloads(0, 10**6 * steps, steps, batch_size=batch_size, images=0)
    _, payload = next(payloads)
    program = parallel.jit_step(feed.steps(gan.step), mesh, batch=feed.spec)
    compiled, *seconds = _compiled(program, state, payload, key)

    def run(dispatches: int) -> float:
        nonlocal state
        host = []
        for _ in range(dispatches):
            start = time.perf_counter()
            _, payload = next(payloads)
            state, _ = compiled(state, payload, key)
            host.append(time.perf_counter() - start)
        jax.block_until_ready(state)
        return host[0] * dispatches  # of the first, which finds the device idle: a later one may wait for it

    flops = steps * dcgan_flops(gan.config, batch_size)
    return {STEP: Ours(run, steps * batch_size, steps, flops, *seconds, _peak_memory(compiled))}


def dcgan_flops(config: Any, batch_size: int) -> float:
    """Of one step: the convolutions and the dense layers, a multiplication and an addition each.

    G's and D's convolutions cost the same layer by layer: D has 3 forward passes, 3 gradients of activations and 2 of
    kernels, G one of each. Images have no gradient in D's own update.
    """
    size, layers = config.image_size, []
    before, after = config.channels, config.discriminator_features
    for _ in range(config.levels):
        size //= 2
        layers.append(2 * batch_size * size * size * config.kernel_size**2 * before * after)
        before, after = after, 2 * after
    dense = 2 * batch_size * config.latent_size * size * size * before
    return 11.0 * sum(layers) - 2 * layers[0] + 2 * dense


def stylegan2_config(image_size: int, channel_base: int, dtype: str) -> dict[str, Any]:
    """Fields that make configuration F of that size; bfloat16 means mixed precision, as it is trained."""
    return {
        "image_size": image_size,
        "channel_base": channel_base,
        "low_precision_levels": 4 if dtype == "bfloat16" else 0,
        "minibatch_std_group": 4,
    }


def stylegan2_phases(
    image_size: int, channel_base: int, batch_size: int, dtype: str, augment: str = "none"
) -> Mapping[str, Ours]:
    """The four phases, each a program of its own, on one state that they hand on."""
    fields = stylegan2_config(image_size, channel_base, dtype)
    gan = ganzoo.create("stylegan2", "stylegan2", **fields, augment=augment)
    return _phases(gan, batch_size)


def _phases(gan: ganzoo.GAN, batch_size: int) -> Mapping[str, Ours]:
    """Each phase as a program of its own, on one state that they hand on; without the averages."""
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *gan.image_shape), dtype=np.uint8)
    batch, states = {"image": jnp.asarray(images)}, [jax.jit(gan.init)(jax.random.key(0))]
    phases = gan.stages[0].phases
    return {part: _training(phases[name][0], states, batch) for name, part in OUR_PHASES.items() if name in phases}


def stylegan3_config(configuration: str, image_size: int, channel_base: int, dtype: str) -> dict[str, Any]:
    """Fields that make a configuration of that size, after the fade of R's blur; bfloat16 means mixed precision."""
    widening = 2 if configuration == "r" else 1  # of the generator
    return {
        "image_size": image_size,
        "channel_base": widening * channel_base,
        "discriminator_channel_base": channel_base,
        "low_precision_levels": 4 if dtype == "bfloat16" else 0,
        "blur_sigma": 0.0,
    }


def stylegan3_phases(
    configuration: str, image_size: int, channel_base: int, batch_size: int, dtype: str
) -> Mapping[str, Ours]:
    """The three phases."""
    fields = stylegan3_config(configuration, image_size, channel_base, dtype)
    return _phases(ganzoo.create("stylegan3", configuration, **fields), batch_size)


def stylegan_levels(image_size: int, channel_base: int, batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """A step of each level, on a state of its own."""
    if dtype != "float32":
        raise UserError(f"StyleGAN is trained in float32, not in {dtype}")
    gan = ganzoo.create("stylegan", "ffhq1024", image_size=image_size, channel_base=channel_base, batch_sizes=())
    images = np.random.default_rng(0).integers(0, 256, (batch_size, *gan.image_shape), dtype=np.uint8)
    batch, init = {"image": jnp.asarray(images)}, jax.jit(gan.init)
    # a level's work is the same at all levels of detail, so the states may be those of the beginning
    return {stage.name: _training(stage.step, [init(jax.random.key(0))], batch) for stage in gan.stages}


def r3gan_phases(batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """D with R1 and R2, and G, each a program of its own, of the CIFAR-10 preset on images that are not augmented."""
    low = {} if dtype == "bfloat16" else {"low_precision_levels": 0}
    gan = ganzoo.create("r3gan", "cifar10", **low, augment="none", augment_p=None)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, *gan.image_shape), dtype=np.uint8)
    batch = {"image": jnp.asarray(images), "label": jax.nn.one_hot(np.arange(batch_size) % 10, 10)}
    states = [jax.jit(gan.init)(jax.random.key(0))]
    networks = r3gan.networks(gan.config, cast("Any", gan.generator), cast("Any", gan.discriminator))
    phases = r3gan.phases(gan.config, networks)
    return {name: _training(step, states, batch) for name, (step, _) in phases.items()}


def _training(step: Step, states: list[State], batch: Batch, flops: float | None = None) -> Ours:
    """A step or phase from ``states[0]`` on, which several of them may hand on."""
    key, batch_size = jax.random.key(1), len(batch["image"])
    compiled, *seconds = _compiled(parallel.jit_step(step, parallel.data_mesh(1)), states[0], batch, key)
    cost = report.flops(jax.make_jaxpr(step)(states[0], batch, key)).least if flops is None else flops

    def run(dispatches: int) -> float:
        for _ in range(dispatches):
            states[0], _ = compiled(states[0], batch, key)
        jax.block_until_ready(states[0])
        return 0.0

    return Ours(run, batch_size, 1, cost, *seconds, _peak_memory(compiled))


def stylegan2_sampling(image_size: int, channel_base: int, batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """Images from latents, with the EMA weights and constant noise."""
    return _sampling(
        ganzoo.create("stylegan2", "stylegan2", **stylegan2_config(image_size, channel_base, dtype)), batch_size
    )


def stylegan3_sampling(
    configuration: str, image_size: int, channel_base: int, batch_size: int, dtype: str
) -> Mapping[str, Ours]:
    """Images from latents, with the EMA weights."""
    gan = ganzoo.create("stylegan3", configuration, **stylegan3_config(configuration, image_size, channel_base, dtype))
    return _sampling(gan, batch_size)


def _sampling(gan: ganzoo.GAN, batch_size: int) -> Mapping[str, Ours]:
    state = jax.jit(gan.init)(jax.random.key(0))
    latents = gan.latents(jax.random.key(1), jnp.arange(batch_size))
    return {"sampling": _function(gan.generate, batch_size, state, latents)}


def inception_features(batch_size: int, dtype: str) -> Mapping[str, Ours]:
    """Features of FID from images of the network's size, with random weights."""
    if dtype != "float32":
        raise UserError(f"metrics are computed in float32, not in {dtype}")
    network, shape = inception.Inception(), (batch_size, *inception.IMAGE_SIZE, 3)
    images = jax.random.uniform(jax.random.key(0), shape, minval=-1.0)
    variables = jax.jit(network.init)(jax.random.key(1), images[:1])
    options = inception.compiler_options()
    return {"features": _function(lambda *args: network.apply(*args)[0], batch_size, variables, images, **options)}


def _function(function: Callable[..., Any], batch_size: int, *args: Any, **options: Any) -> Ours:
    """One that does the same in every dispatch; ``options`` are those of the compiler."""
    compiled, *seconds = _compiled(jax.jit(function, compiler_options=options), *args)

    def run(dispatches: int) -> float:
        for _ in range(dispatches):
            result = compiled(*args)
        jax.block_until_ready(result)
        return 0.0

    cost = report.flops(jax.make_jaxpr(function)(*args)).least
    return Ours(run, batch_size, 1, cost, *seconds, _peak_memory(compiled))


def _compiled(program: Any, *args: Any) -> tuple[Any, float, float]:
    """The program compiled for these arguments, and the seconds that compiling and, before, tracing took."""
    start = time.perf_counter()
    lowered = program.lower(*args)
    traced = time.perf_counter()
    compiled = lowered.compile()
    return compiled, time.perf_counter() - traced, traced - start


def _peak_memory(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    used = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return used - memory.alias_size_in_bytes


# The table ----------------------------------------------------------------------------------------------------------

OUR_PHASES = {
    "generator": "generator",
    "generator penalty": "path length",
    "discriminator": "discriminator",
    "discriminator penalty": "R1",
}
"""The parts of the table by the names of the phases in the recipe."""
LAZY_STEPS = {"generator": 1.0, "path length": 1 / 4, "discriminator": 1.0, "R1": 1 / 16}
THEIR_PHASES = {"generator": "G main", "path length": "G path length", "discriminator": "D main", "R1": "D R1"}
STYLEGAN3_PARTS = ("generator", "discriminator", "R1")


def dcgan_training(summary: str, ours: Callable[[str], Mapping[str, Ours]], size: int) -> Benchmark:
    """Whole steps of a DCGAN."""
    reference = Reference("reference_dcgan", "trainer", {"image_size": size, "batch_size": 64})
    return Benchmark(f"DCGAN (torch preset) {summary}", ours, reference, 64, {STEP: 1.0}, {STEP: STEP})


def stylegan2_training(size: int, base: int, batch_size: int) -> Benchmark:
    """The average step of StyleGAN2, phase by phase."""
    shape = {"image_size": size, "channel_base": base, "batch_size": batch_size}
    summary = f"StyleGAN2 (configuration F, channel base {base}) {size}x{size}, batch {batch_size}: the average step"
    ours = partial(stylegan2_phases, size, base, batch_size)
    return Benchmark(
        summary, ours, Reference("reference_stylegan2", "phases", shape), batch_size, LAZY_STEPS, THEIR_PHASES
    )


def augmentation_cost(size: int, base: int, batch_size: int) -> Benchmark:
    """The average step of StyleGAN2 with ADA's transforms and without them; what p is does not change the work."""
    shape = (size, base, batch_size)
    summary = (
        f"StyleGAN2 (channel base {base}) {size}x{size}, batch {batch_size}: the average step with and without bgc"
    )
    phases = {
        augment: lambda dtype, augment=augment: stylegan2_phases(*shape, dtype, augment) for augment in ("bgc", "none")
    }
    return Benchmark(summary, phases["bgc"], None, batch_size, LAZY_STEPS, {}, phases["none"])


def stylegan_training(size: int, base: int, batch_size: int) -> Benchmark:
    """A step of StyleGAN at each of its levels, and their average."""
    summary = f"StyleGAN (2018, channel base {base}), grown to {size}x{size}, batch {batch_size}: a step of each level"
    levels = [f"{2**k}x{2**k}" for k in range(3, size.bit_length())]
    shares = {level: 1 / len(levels) for level in levels}
    return Benchmark(summary, partial(stylegan_levels, size, base, batch_size), None, batch_size, shares, {})


def r3gan_training(batch_size: int) -> Benchmark:
    """A whole step of R3GAN: both phases."""
    summary = f"R3GAN (CIFAR-10 preset, not augmented) 32x32, batch {batch_size}: D with R1 and R2, and G"
    reference = Reference("reference_r3gan", "phases", {"batch_size": batch_size})
    theirs = {"discriminator": "D", "generator": "G"}
    return Benchmark(
        summary, partial(r3gan_phases, batch_size), reference, batch_size, dict.fromkeys(theirs, 1.0), theirs
    )


def stylegan2_images(size: int, base: int, batch_size: int) -> Benchmark:
    """Sampling from StyleGAN2."""
    shape = {"image_size": size, "channel_base": base, "batch_size": batch_size}
    summary = f"StyleGAN2 (configuration F, channel base {base}) {size}x{size}, batch {batch_size}: sampling"
    ours = partial(stylegan2_sampling, size, base, batch_size)
    reference = Reference("reference_stylegan2", "sampler", shape)
    return Benchmark(summary, ours, reference, batch_size, {"sampling": 1.0}, {"sampling": STEP})


def stylegan3_training(configuration: str, size: int, base: int, batch_size: int) -> Benchmark:
    """The average step of StyleGAN3, phase by phase."""
    arguments = {"configuration": configuration, "image_size": size, "channel_base": base, "batch_size": batch_size}
    summary = (
        f"StyleGAN3-{configuration.upper()} (channel base {base}) {size}x{size}, batch {batch_size}: the average step"
    )
    ours = partial(stylegan3_phases, configuration, size, base, batch_size)
    shares = {part: LAZY_STEPS[part] for part in STYLEGAN3_PARTS}
    theirs = {part: THEIR_PHASES[part] for part in STYLEGAN3_PARTS}
    return Benchmark(summary, ours, Reference("reference_stylegan3", "phases", arguments), batch_size, shares, theirs)


def stylegan3_images(configuration: str, size: int, base: int, batch_size: int) -> Benchmark:
    """Sampling from StyleGAN3."""
    arguments = {"configuration": configuration, "image_size": size, "channel_base": base, "batch_size": batch_size}
    summary = f"StyleGAN3-{configuration.upper()} (channel base {base}) {size}x{size}, batch {batch_size}: sampling"
    ours = partial(stylegan3_sampling, configuration, size, base, batch_size)
    reference = Reference("reference_stylegan3", "sampler", arguments)
    return Benchmark(summary, ours, reference, batch_size, {"sampling": 1.0}, {"sampling": STEP})


def inception_images(batch_size: int) -> Benchmark:
    """Features of FID."""
    summary = f"Inception-v3 of FID, batch {batch_size}: features of images of 299x299"
    reference = Reference("reference_inception", "extractor", {"batch_size": batch_size})
    ours = partial(inception_features, batch_size)
    return Benchmark(summary, ours, reference, batch_size, {"features": 1.0}, {"features": STEP})


BENCHMARKS: Mapping[str, Benchmark] = {
    "dcgan64": dcgan_training("64x64, batch 64: one whole step per dispatch", partial(dcgan_steps, 64, 64), 64),
    "dcgan32-scan": dcgan_training(
        "32x32, batch 64: 16 steps per dispatch from images on the device", partial(dcgan_scan, 32, 64, 16), 32
    ),
    **{
        f"stylegan2-64-batch{n}" if n != 8 else "stylegan2-64": stylegan2_training(64, 16384, n) for n in (8, 4, 16, 32)
    },
    "stylegan2-64-sampling": stylegan2_images(64, 16384, 8),
    "stylegan2-256-sampling": stylegan2_images(256, 16384, 8),
    "stylegan2-256": stylegan2_training(256, 16384, 64),
    "augment-64": augmentation_cost(64, 16384, 32),
    "augment-64-narrow": augmentation_cost(64, 4096, 32),
    "augment-256": augmentation_cost(256, 16384, 64),
    **{f"r3gan-32-batch{n}" if n != 8 else "r3gan-32": r3gan_training(n) for n in (8, 4, 16)},
    "stylegan-64": stylegan_training(64, 8192, 8),
    **{f"stylegan3-64-{each}": stylegan3_training(each, 64, 8192, 4) for each in ("t", "r")},
    **{f"stylegan3-64-{each}-sampling": stylegan3_images(each, 64, 8192, 4) for each in ("t", "r")},
    "inception": inception_images(16),
}
