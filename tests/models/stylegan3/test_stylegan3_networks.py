"""StyleGAN3's generator against the records of NVlabs/stylegan3, and against what its equivariance means."""

from typing import Any

import golden_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import draw, filled, nhwc
from models.stylegan3.stylegan3_records import config_of, load, variables
from stylegan2_names import tree

from ganzoo.errors import UserError
from ganzoo.models import stylegan3
from ganzoo.models.stylegan3.config import PRESETS, StyleGAN3Config, fill_defaults
from ganzoo.models.stylegan3.networks import Synthesis
from ganzoo.nn.schedule import Schedule
from ganzoo.testing import assert_near, quick_jit

# Records ------------------------------------------------------------------------------------------------------------


def gradients(golden: Any, scalar: str) -> dict[str, Any]:
    """The recorded gradients of a scalar with respect to parameters."""
    prefix = f"grad/{scalar}/"
    return tree({n: golden[n] for n in golden.files if n.startswith(prefix) and "__in__" not in n}, prefix)["params"]


def test_synthesis_with_radial_filters_and_user_transforms() -> None:
    meta, golden = load("sg3/synthesis_r_r16_c1")
    config, recorded = config_of(meta), variables(golden, "params/")
    own = {name: collection.get("synthesis", collection) for name, collection in recorded.items()}
    synthesis = Synthesis(config.schedule, 0.999, clamp=config.conv_clamp, output_scale=config.output_scale)

    def energy(params: Any, ws: Any, transform: Any) -> tuple[jax.Array, jax.Array]:
        images = synthesis.apply({**own, "params": params}, ws, transform)
        return jnp.sum(images * nhwc(golden["in/cot"])), images

    value = quick_jit(jax.value_and_grad(energy, argnums=(0, 1), has_aux=True))
    cases = {"img": np.eye(3), **{f"img_transform_{name}": golden[f"in/transform_{name}"] for name in ("rot", "scale")}}
    for name, transform in cases.items():
        (_, images), (of_params, of_ws) = value(own["params"], golden["in/ws"], transform.astype(np.float32))
        assert_near(images, nhwc(golden[f"out/{name}"]))
        if name == "img":
            assert_near(of_params, gradients(golden, "sum(img*cot)"), golden_cases.GRADIENTS)
            assert_near(of_ws, golden["grad/sum(img*cot)/__in__/ws"], golden_cases.GRADIENTS)
        if name == "img_transform_rot":
            theirs = gradients(golden, "sum(img_transform_rot*cot)")
            assert_near(of_params, theirs, golden_cases.GRADIENTS, extra=True)


def test_conditional_generator_and_its_statistics() -> None:
    meta, golden = load("sg3/generator_t_r32_cond")
    generator, recorded = stylegan3.Generator(config_of(meta)), variables(golden, "params/G/")
    z, labels = golden["in/z"], golden["in/c"]

    def images_of(ws: jax.Array, transform: Any = None) -> Any:
        return generator.apply(recorded, ws, transform=transform, method="synthesise")

    def all_of(z: Any) -> dict[str, Any]:
        cutoff = meta["truncation_cutoff"]
        settings = {"psi1": {}, "psi0.7": {"psi": 0.7}, "psi0.7_cutoff": {"psi": 0.7, "cutoff": cutoff}}
        ws = {name: generator.apply(recorded, z, labels, method="styles", **of) for name, of in settings.items()}
        moved = images_of(ws["psi1"], golden["in/transform"])
        return {**{name: images_of(styles) for name, styles in ws.items()}, "psi1_transform": moved}

    for name, images in quick_jit(all_of)(z).items():
        assert_near(images, nhwc(golden[f"out/img_{name}"]))

    tracked = quick_jit(
        lambda z: generator.apply(recorded, z, labels, update=True, method="train", mutable=["statistics"])
    )
    after = tracked(z)[1]["statistics"]
    assert_near(after["mapping"]["w_average"], golden["out/w_avg_after_update_emas"])
    assert len(after["synthesis"]) == 8
    for name, layer in after["synthesis"].items():
        assert_near(layer["magnitude"], golden[f"out/magnitude_ema_after_update/{name}"])


def test_gradients_of_the_conditional_generator() -> None:
    meta, golden = load("sg3/generator_t_r32_cond")
    generator, recorded = stylegan3.Generator(config_of(meta)), variables(golden, "params/G/")

    def energy(params: Any) -> jax.Array:
        images = generator.apply({**recorded, "params": params}, golden["in/z"], golden["in/c"])
        return jnp.sum(images * nhwc(golden["in/cot"]))

    ours = quick_jit(jax.grad(energy))(recorded["params"])
    assert_near(ours, gradients(golden, "sum(img_psi1*cot)"), golden_cases.GRADIENTS)


# Schedules ----------------------------------------------------------------------------------------------------------

PUBLISHED = {
    256: ("16 16 16 32 32 64 64 128 128 128 256 256 256 256 256",
          "36 36 36 52 52 84 84 148 148 148 276 276 276 256 256",
          "512 512 512 512 512 512 512 512 512 362 256 181 128 128 3"),
    1024: ("16 16 32 32 64 128 128 256 256 512 1024 1024 1024 1024 1024",
           "36 36 52 52 84 148 148 276 276 532 1044 1044 1044 1024 1024",
           "512 512 512 512 512 512 512 323 203 128 81 51 32 32 3"),
}  # fmt: skip
"""Rates, sizes and channels of all layers of T, NVlabs/stylegan3."""


def schedule(size: int | tuple[int, int], **fields: Any) -> Schedule:
    return StyleGAN3Config(image_size=size, **fields).schedule


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_layers(size: int) -> None:
    signals = schedule(size).signals[1:]
    found = ([s.rate for s in signals], [s.size[0] for s in signals], [s.features for s in signals])
    assert found == tuple([int(number) for number in row.split()] for row in PUBLISHED[size])


def test_layers_fit_one_another_at_any_size() -> None:
    """Every layer's resampling gives the size of the next signal, whatever the image's shape."""
    for size in (64, 96, (64, 128), (72, 40), (120, 112)):
        for layer in schedule(size, layers=8).all_layers:
            for axis in (0, 1):
                wide = (layer.before.size[axis] + layer.kernel_size - 1) * layer.up + sum(layer.padding[axis])
                high = wide - layer.up_taps + 1
                assert (high - layer.down_taps) // layer.down + 1 == layer.after.size[axis]
            assert layer.before.cutoff <= layer.before.rate / 2 <= layer.rate / 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"critical_layers": 14}, "critical_layers = 14: must be less than the 14 layers"),
        ({"image_size": 4}, "first_cutoff = 2.0: must be below 2"),
        ({"first_stopband": 2.0}, "first_stopband = 2.0: must be above first_cutoff, 2"),
        ({"last_stopband": 1.0}, "last_stopband = 1.0: must be above 1"),
        ({"first_stopband": 2.1, "image_size": 72}, "image_size = .*: must be multiples of 16"),
    ],
)
def test_impossible_layers_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StyleGAN3Config(**{"image_size": 256, **fields})


@pytest.mark.parametrize(
    ("size", "batch", "gamma"), [(128, 32, 0.5), (256, 32, 2), (512, 32, 8), (1024, 32, 32), (256, 64, 1)]
)
def test_published_gammas(size: int, batch: int, gamma: float) -> None:
    config, chosen = fill_defaults(StyleGAN3Config(image_size=size), batch if batch != 32 else 0, 8)
    assert (config.r1_gamma, chosen) == (pytest.approx(gamma), batch)
    assert config.ema_half_life == batch * 10_000 / 32
    assert config.blur_images == batch * 200_000 / 32


def test_the_ablation_has_the_published_channels() -> None:
    found = [signal.features for signal in PRESETS["t-ablation"].config.schedule.signals[1:]]
    assert found == [512] * 7 + [362, 256, 181, 128, 91, 64, 64, 3]
    rotating = PRESETS["r-ablation"].config
    assert [level.features for level in rotating.levels] == [
        level.features for level in PRESETS["t-ablation"].config.levels
    ]


# Equivariance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_moved_input_moves_the_image(kernel_size: int) -> None:
    """A shift of the Fourier features by whole pixels, and of R a quarter turn, gives the image so moved."""
    config = StyleGAN3Config(
        image_size=16, layers=4, critical_layers=1, margin=6, channel_base=96, channel_max=12, style_size=8,
        kernel_size=kernel_size, radial_filters=kernel_size == 1,
    )  # fmt: skip
    synthesis = Synthesis(config.schedule, 0.999)
    ws = draw(0, 1, 6, 8)
    own = filled(synthesis, ws)
    own["statistics"] = jax.tree.map(jnp.ones_like, own["statistics"])
    apply = quick_jit(lambda transform: synthesis.apply(own, ws, transform)[0])
    image, largest = np.asarray(apply(np.eye(3))), 0.0
    right = np.asarray(apply(np.array([[1, 0, -3 / 16], [0, 1, 2 / 16], [0, 0, 1.0]])))  # 3 to the right, 2 up
    largest = np.abs(image).max()
    np.testing.assert_allclose(right[:-2, 3:], image[2:, :-3], rtol=0, atol=2e-2 * largest)
    if kernel_size == 1:  # what is at the right of the image is seen at its top: a quarter turn counter-clockwise
        turned = np.asarray(apply(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])))
        np.testing.assert_allclose(turned, np.rot90(image), rtol=0, atol=2e-2 * largest)


def test_noise_is_refused() -> None:
    config = fill_defaults(PRESETS["tiny"].config, 0, 1)[0]
    with pytest.raises(UserError, match="noise = 'random': must be left out: StyleGAN3 has no noise"):
        jax.eval_shape(
            lambda key, z: stylegan3.Generator(config).init(key, z, noise=jax.random.split(key, 1)),
            jax.random.key(0), jnp.zeros((1, 8)),
        )  # fmt: skip
