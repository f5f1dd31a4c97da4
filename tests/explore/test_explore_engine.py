"""Images of settings are those that the tools make; what a model does not have is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latent_states import drawn_state

import ganzoo
from ganzoo.errors import UserError
from ganzoo.explore.engine import MOST_WEIGHTS, Engine, neighbours, walked
from ganzoo.explore.settings import Settings, Step
from ganzoo.latent import Sampler, transform
from ganzoo.ops.pixels import to_uint8


def engine_of(name: str, preset: str = "tiny", **fields) -> Engine:
    gan = ganzoo.create(name, preset, **fields)
    return Engine(Sampler(gan, drawn_state(gan), batch=4))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return engine_of("stylegan2", channels=1, label_size=3)


@pytest.fixture(scope="module")
def plain() -> Engine:
    return engine_of("dcgan")


def near(images: np.ndarray, others: np.ndarray) -> bool:
    """Equal up to one step of rounding."""
    return images.shape == others.shape and int(np.abs(images.astype(int) - others).max()) <= 1


def test_a_seed_is_that_of_the_tools(engine: Engine) -> None:
    found = engine.images([Settings(seed=5, psi=0.7, cutoff=2, label=((1, 1.0),))])
    latents, labels = engine.sampler.latents([5]), engine.sampler.labels(1, 1)
    assert near(found, to_uint8(engine.sampler.images(latents, labels, psi=0.7, cutoff=2)))


def test_one_image_is_the_same_alone_and_among_others(engine: Engine) -> None:
    chosen = [Settings(seed=i, noise="random", noise_seed=i) for i in range(5)]
    together = engine.images(chosen)
    assert near(together[3:4], engine.images(chosen[3:4]))
    assert not near(together[:1], together[1:2])


def test_noise_can_be_weaker_at_each_level(engine: Engine) -> None:
    none, mute = engine.images([Settings(noise="none")]), engine.images([Settings(strength=(0.0,))])
    assert near(none, mute)
    assert near(
        none, to_uint8(engine.sampler.images(engine.sampler.latents([0]), engine.sampler.labels(1, 0), noise="none"))
    )
    half = tuple(float(i == 0) for i in range(len(engine.levels)))
    assert not near(engine.images([Settings(strength=half)]), none)


def test_mixing_takes_the_layers_of_the_second(engine: Engine) -> None:
    count = engine.space.count
    first, second = (engine.styles(Settings(seed=seed)) for seed in (1, 2))
    mixed = engine.styles(Settings(seed=1, mix=2, mix_layers=(1, count - 1)))
    np.testing.assert_array_equal(mixed, np.concatenate([first[:1], second[1:]]))


def test_directions_move_the_chosen_layers(engine: Engine) -> None:
    before = engine.styles(Settings())
    moved = engine.styles(Settings(pca=((1, 2.0),), closed=((0, -1.0),), layers=(0, 0)))
    np.testing.assert_array_equal(moved[1:], before[1:])
    np.testing.assert_allclose(moved[0] - before[0], 2 * engine.principal[1] - engine.closed[0], atol=1e-5)


def test_kept_styles_take_the_place_of_a_seed(engine: Engine) -> None:
    ws = engine.styles(Settings(seed=4))
    name = engine.keep_styles(ws)
    assert near(engine.images([Settings(seed=99, styles=name)]), engine.images([Settings(seed=4)]))
    with pytest.raises(UserError, match="not kept any more"):
        engine.images([Settings(styles="00")])
    with pytest.raises(UserError, match="must be of shape"):
        engine.keep_styles(ws[:1])


def test_a_path_goes_through_its_bookmarks_and_back(engine: Engine) -> None:
    marks = (Settings(seed=1, label=((0, 1.0),)), Settings(seed=2, noise="random"), Settings(seed=3, psi=0.5))
    for way in ("linear", "cubic", "slerp"):
        found = engine.images([Settings(path=marks, at=float(at), way=way) for at in (0, 1, 2, 3)])
        assert near(found, engine.images([*marks, marks[0]]))
    half = engine.point(Settings(path=marks, at=0.5))
    np.testing.assert_allclose(half.content, (engine.styles(marks[0]) + engine.styles(marks[1])) / 2, atol=1e-5)
    own, drawn, between = (np.asarray(point.maps[-1]) for point in (*map(engine.point, marks[:2]), half))
    assert abs(between.std() - (own.std() + drawn.std()) / 2) < 0.1 * own.std()


def test_a_walk_keeps_the_length_of_the_latent_and_comes_back() -> None:
    latent = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    there = walked(latent, Step(3, 0.5, -1.0))
    assert abs(np.linalg.norm(there) - np.linalg.norm(latent)) < 1e-4
    assert not np.allclose(there, latent)
    np.testing.assert_allclose(walked(latent, Step(3, 0.0, 0.0)), latent, atol=1e-6)


def test_the_middle_of_the_neighbours_is_the_image_itself(plain: Engine) -> None:
    here = Settings(seed=3, walk=(Step(7, 0.5, 0.0),))
    around = neighbours(here, 7, 0.25)
    assert around[4].walk == here.walk
    assert around[5].walk == (Step(7, 0.75, 0.0),)
    assert neighbours(here, 8, 0.25)[1].walk == (*here.walk, Step(8, 0.0, -0.25))
    found = plain.images(around)
    assert near(found[4:5], plain.images([here]))
    assert not near(found[4:5], found[5:6])


def test_a_model_without_styles_shows_what_it_has(plain: Engine) -> None:
    about = plain.about()
    assert (about["styles"], about["noise"], about["pca"], about["moves"]) == (0, [], 0, False)
    found = plain.images([Settings(seed=2)])
    assert near(found, to_uint8(plain.sampler.images(plain.sampler.latents([2]))))
    half = plain.images([Settings(path=(Settings(seed=1), Settings(seed=2)), at=0.5)])
    assert not near(half, found)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(psi=0.5), "psi: dcgan has no styles"),
        (Settings(pca=((0, 1.0),)), "pca: dcgan has no styles"),
        (Settings(label=((0, 1.0),)), "this dcgan has no classes"),
    ],
)
def test_what_a_plain_model_lacks_is_refused(plain: Engine, settings: Settings, told: str) -> None:
    with pytest.raises(UserError, match=told):
        plain.images([settings])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(label=((3, 1.0),)), "class = 3: must be 0 to 2"),
        (Settings(rotate=10.0), "the input of a stylegan2 cannot be moved"),
        (Settings(layers=(0, 99)), "must be 0 to"),
        (Settings(strength=(1.0,) * 9), "be one number, or"),
        (Settings(pca=((12, 1.0),)), "must be 0 to 7"),
        (Settings(weights="f00"), "these tuned weights are not kept"),
        (Settings(cutoff=99), "cutoff"),
    ],
)
def test_what_is_out_of_range_is_refused(engine: Engine, settings: Settings, told: str) -> None:
    with pytest.raises(UserError, match=told):
        engine.images([replace(settings, psi=0.5) if settings.cutoff else settings])


def test_programs_are_compiled_once_for_each_size(engine: Engine) -> None:
    for i in range(3):
        engine.images([Settings(seed=i, psi=i / 3, strength=(i / 2,), noise="random" if i else "const")])
        engine.images([Settings(seed=i + j) for j in range(3 + i)])
    assert engine.compiled == 2


def test_weights_of_a_visitor_need_no_other_program_and_the_newest_are_kept(engine: Engine) -> None:
    own = engine.images([Settings(seed=1)])
    count = engine.compiled
    double = jax.tree.map(lambda leaf: 2 * leaf, engine.sampler.state.ema)
    names = [engine.keep_weights(replace(engine.sampler.state, ema=double)) for _ in range(MOST_WEIGHTS)]
    assert len(set(names)) == MOST_WEIGHTS
    assert not near(engine.images([Settings(seed=1, weights=names[0])]), own)
    assert near(engine.images([Settings(seed=1)]), own)
    assert engine.compiled == count
    engine.keep_weights(engine.sampler.state)
    with pytest.raises(UserError, match="not kept any more"):
        engine.images([Settings(weights=names[1])])


def test_the_weights_of_the_last_step_are_shown_and_others_take_their_place() -> None:
    gan = ganzoo.create("dcgan", "tiny")
    state = drawn_state(gan)
    double = replace(state, ema=jax.tree.map(lambda leaf: 2 * leaf, state.ema))
    sampler = Sampler(gan, double, ema=False)
    found = Engine(sampler)
    assert near(found.images([Settings(seed=2)]), to_uint8(sampler.images(sampler.latents([2]))))
    name = found.keep_weights(double)
    assert not near(found.images([Settings(seed=2, weights=name)]), found.images([Settings(seed=2)]))


def test_whole_images_move() -> None:
    gan = ganzoo.create("stylegan3", "tiny")
    state = drawn_state(gan)
    engine = Engine(Sampler(gan, replace(state, ema=jax.tree.map(jnp.abs, state.ema))))  # magnitudes are positive
    found = engine.images([Settings(move=(0.1, 0.0), rotate=20.0)])
    latents = engine.sampler.latents([0])
    assert near(found, to_uint8(engine.sampler.images(latents, transform=transform((0.1, 0), 20))))
    assert jax.tree.leaves(engine.space.noise_maps(engine.sampler.state)) == []
