"""What `photo` and `strong` do to pixels, worked out by hand; and that Keras is left as it was."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from tests.data.pictures import photo

from headstart.backbones.framework import keras
from headstart.data.geometry import PADDING
from headstart.training import random_layers
from headstart.training.random_layers import transformed

SIZE = 40
NEUTRAL = 0.5  # the middle of every range: size 1, no turn, no shift, the light as it is


class Script:
    """Stands in for a generator: gives what it is told, as shares of the ranges that are asked for."""

    def __init__(self, *shares: float, mirrored: bool = False, choices: tuple[int, ...] = ()) -> None:
        self.shares = [0.0 if mirrored else 1.0, *shares]
        self.choices = list(choices)

    def random(self, size: int | None = None) -> Any:
        if size is None:
            return self.shares.pop(0)
        return np.array([self.shares.pop(0) for _ in range(size)])

    def uniform(self, low: float, high: float, size: int | None = None) -> Any:
        return low + (high - low) * self.random(size)

    def integers(self, *bounds: int, size: int | None = None, **_: Any) -> Any:
        if len(bounds) > 1:
            return np.array([self.choices.pop()], np.uint8)
        return [self.choices.pop(0) for _ in range(size or 1)]


@pytest.fixture(scope="module")
def square() -> np.ndarray:
    return photo(SIZE, SIZE)


def near(made: np.ndarray, expected: np.ndarray, by: int = 1) -> bool:
    return bool((np.abs(made.astype(int) - expected.astype(int)) <= by).all())


def seen(square: np.ndarray, **shares: float) -> np.ndarray:
    """`photo` with everything neutral but what is named."""
    order = ("zoom", "turn", "right", "down", "brightness", "contrast", "saturation", "hue")
    assert shares.keys() <= set(order)
    return transformed(square, "photo", Script(*(shares.get(name, NEUTRAL) for name in order)))


def test_photo_in_the_middle_of_its_ranges_is_the_picture(square):
    assert np.array_equal(seen(square), square)


def test_half_of_the_pictures_are_mirrored(square):
    for share, expected in ((0.49, square[:, ::-1]), (0.51, square)):
        script = Script(*[NEUTRAL] * 8)
        script.shares[0] = share
        assert np.array_equal(transformed(square, "photo", script), expected)


def test_a_shift_moves_the_picture_and_mirrors_it_at_the_border(square):
    # 10 % of 40 pixels to the right and 5 % down: column 4 shows column 0, and so does column 3.
    made = seen(square, right=1.0, down=0.75)
    assert np.array_equal(made[2:, 4:], square[:-2, :-4])
    assert np.array_equal(made[2:, :4], square[:-2, 3::-1])
    assert np.array_equal(made[:2, 4:], square[1::-1, :-4])
    assert np.array_equal(seen(square, right=0.0)[:, :-4], square[:, 4:])


def test_zoom_and_turn_are_about_the_middle():
    """A disc stays where it is; by 15 % wider or narrower its area changes by the square of that."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    disc = np.repeat((255 * (np.hypot(x, y) < 12))[..., None], 3, 2).astype(np.uint8)
    area = int(disc.sum()) / 255 / 3
    for share, scale in ((0.0, 0.85), (1.0, 1.15)):  # multiples of what is shown
        assert int(seen(disc, zoom=share).sum()) / 255 / 3 == pytest.approx(area / scale**2, rel=0.03)
    turned = seen(disc, turn=1.0)
    assert int(turned.sum()) / 255 / 3 == pytest.approx(area, rel=0.01)
    assert np.array_equal(turned, turned[::-1, ::-1])  # a turn about the middle keeps this symmetry


def test_a_picture_is_turned_by_15_degrees_at_most_either_way():
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    for share, degrees in ((1.0, 15), (0.0, -15)):
        line = np.zeros((SIZE, SIZE, 3), np.uint8)
        line[19:21] = 255  # level, through the middle
        made = seen(line, turn=share)[..., 0] > 127
        slope = np.polyfit(x[made], -y[made], 1)[0]  # y goes down
        assert np.degrees(np.arctan(slope)) == pytest.approx(degrees, abs=1)


def test_light_and_colour_by_hand():
    flat = np.full((SIZE, SIZE, 3), [100, 150, 200], np.uint8)
    # A tenth of 255 up and down.
    assert near(seen(flat, brightness=1.0), np.array([125.5, 175.5, 225.5]))
    assert near(seen(flat, brightness=0.0), np.array([74.5, 124.5, 174.5]))
    # To grey by 30 %, and away from it: 0.2989, 0.587 and 0.114 of the channels make 140.74.
    assert near(seen(flat, saturation=1.0), np.array([112.2, 147.2, 182.2]))
    assert near(seen(flat, saturation=0.0), np.array([87.8, 152.8, 217.8]))
    # Contrast is about each channel's mean: half 100, half 200 become 90 and 210.
    halves = np.repeat([100, 200], SIZE // 2)[None, :, None] * np.ones((SIZE, 1, 3))
    assert near(seen(halves.astype(np.uint8), contrast=1.0), (halves - 150) * 1.2 + 150)
    # A hue of 210° by 0.025 of a turn, 9°: green, between red and blue, moves by 9/60 of 100.
    assert near(seen(flat, hue=1.0), np.array([100, 135, 200]))
    assert near(seen(flat, hue=0.0), np.array([100, 165, 200]))


def test_a_grey_picture_stays_grey():
    grey = np.repeat(photo(SIZE, SIZE)[..., :1], 3, 2)
    for i in range(20):
        made = transformed(grey, "photo", np.random.default_rng(i))
        assert near(made[..., 0], made[..., 1], 0)
        assert near(made[..., 0], made[..., 2], 0)


STEPS = "shear shift turn brightness colour contrast sharpness posterize solarize spread equalize".split()


def strong(square: np.ndarray, *steps: str, shares: tuple[float, ...] = (), bits: int = 0) -> np.ndarray:
    """`strong` with these two steps and nothing erased."""
    choices = (*(STEPS.index(step) for step in steps), bits)
    script = Script(*shares, *[0.5] * 4, 1.0, choices=choices)
    return transformed(square, "strong", script)


def test_strong_steps_by_hand(square):
    values = square.astype(float)
    # The two steps in the middle of their ranges change nothing; the extremes are worked out.
    assert np.array_equal(strong(square, "brightness", "contrast", shares=(0.5, 0.5)), square)
    assert np.array_equal(strong(square, "turn", "colour", shares=(0.5, 0.5)), square)
    assert np.array_equal(strong(square, "shear", "sharpness", shares=(0.5, 0.5, 0.5)), square)
    brighter = strong(square, "brightness", "colour", shares=(1.0, 0.5))
    assert near(brighter, np.clip(values + 76.5, 0, 255))
    moved = strong(square, "shift", "colour", shares=(1.0, 0.25, 0.5))  # 8 pixels right, 4 up
    assert np.array_equal(moved[:-4, 8:], square[4:, :-8])
    kept = strong(square, "posterize", "colour", shares=(0.5,), bits=3)
    assert np.array_equal(kept, square // 8 * 8)
    negative = strong(square, "solarize", "colour", shares=(0.4, 0.5))  # from 102 on
    assert np.array_equal(negative, np.where(square < 102, square, 255 - square))
    low, high = values.min((0, 1)), values.max((0, 1))
    spread = strong(square, "spread", "colour", shares=(0.5,))
    assert near(spread, (values - low) / (high - low) * 255)


def test_equalizing_spreads_the_levels_evenly():
    ramp = np.repeat(np.arange(64, 192, dtype=np.uint8).reshape(8, 16)[..., None], 3, 2)
    ramp = np.kron(ramp, np.ones((5, 5, 1), np.uint8))[:, :SIZE]  # 64 levels, each as often
    levels = np.unique(strong(ramp, "equalize", "colour", shares=(0.5,)))
    assert (levels[0], levels[-1]) == (0, 255)
    assert near(np.diff(levels), np.full(len(levels) - 1, 255 / (len(levels) - 1)))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_sharpness_draws_no_frame(share):
    flat = np.full((SIZE, SIZE, 3), 180, np.uint8)
    assert np.array_equal(strong(flat, "sharpness", "sharpness", shares=(share, share)), flat)


def test_half_of_the_pictures_lose_a_rectangle(square):
    """Sides √0.25 and √0.04 of 40: 20 and 8 pixels, from row 10 and column 24 on."""
    sides = ((0.25 - 0.02) / 0.31, (0.04 - 0.02) / 0.31)
    neutral = (STEPS.index("colour"), STEPS.index("colour"))
    for threshold, erased in ((0.49, True), (0.51, False)):
        script = Script(0.5, 0.5, *sides, 0.5, 0.75, threshold, choices=neutral)
        made = transformed(square, "strong", script)
        expected = square.copy()
        if erased:
            expected[10:30, 24:32] = PADDING
        assert np.array_equal(made, expected)


def test_what_is_given_to_a_layer_is_what_it_would_draw_itself():
    """Names, shapes that fit, and types: a Keras that calls them otherwise is noticed here."""
    k = keras()
    images = k.ops.zeros((1, SIZE, SIZE, 3))
    met = set()

    def change(layer: Any, images: Any, **drawn: Any) -> Any:
        met.add(type(layer).__name__)
        own = layer.get_random_transformation(images, seed=1) or {}
        for name, value in drawn.items():
            ours, theirs = random_layers._single(value), k.ops.convert_to_numpy(own[name])
            assert ours.dtype == theirs.dtype, name
            assert np.broadcast_shapes(ours.shape, theirs.shape) == theirs.shape, name
        return images

    for pipeline in (random_layers._photo(k, change), random_layers._strong(k, change)):
        for i in range(60):
            pipeline(images, np.random.default_rng(i))
    assert met == {
        "RandomRotation", "RandomBrightness", "RandomContrast", "RandomColorDegeneration", "RandomHue",
        "RandomSharpness", "RandomPosterization", "Solarization", "AutoContrast", "Equalization",
        "RandomErasing",
    }  # fmt: skip


def test_neither_keras_nor_anybody_else_is_moved(square):
    """Random states, names and the initial weights of a model are the same with augmentation between."""
    k = keras()

    def state() -> list[Any]:
        model = k.Sequential([k.layers.Dense(3), k.layers.Dropout(0.5)])
        kept = model(np.ones((2, 4), np.float32), training=True)
        names = [(variable.path, variable.numpy().tolist()) for variable in model.variables]
        numpy_draw = np.random.random()  # noqa: NPY002 - its state is what is looked at
        return [
            names,
            kept.numpy().tolist(),
            random.random(),  # noqa: S311 - its state is what is looked at
            numpy_draw,
            k.random.normal((3,)).numpy().tolist(),
        ]

    def after(work: Any) -> list[Any]:
        k.utils.clear_session()
        k.utils.set_random_seed(7)
        work()
        return state()

    def augmenting() -> None:
        random_layers._built.cache_clear()
        for preset in ("photo", "strong"):
            for i in range(4):
                transformed(square, preset, np.random.default_rng(i))

    assert after(augmenting) == after(lambda: None)


def test_a_mixed_policy_does_not_make_it_coarse(square):
    k = keras()
    presets = ("photo", "strong")
    expected = [transformed(square, preset, np.random.default_rng(1)) for preset in presets]
    random_layers._built.cache_clear()
    before = k.config.dtype_policy()
    k.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = [transformed(square, preset, np.random.default_rng(1)) for preset in presets]
    finally:
        k.config.set_dtype_policy(before)
    assert np.array_equal(made, expected)
