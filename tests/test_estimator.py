"""`ImageClassifier` behaves as scikit-learn's users expect, on paths and on arrays."""

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from headstart import ImageClassifier

FAST = {"backbone": "vgg-tiny", "image_size": 32, "engine": "ncnn"}


@pytest.fixture(scope="module")
def arrays():
    """(30, 36, 40, 3) images of two colours, and their labels."""
    rng = np.random.default_rng(0)
    y = np.array(["red", "blue"] * 15)
    colours = np.array([(200, 40, 40) if label == "red" else (40, 40, 200) for label in y])
    noise = rng.integers(-30, 30, (30, 36, 40, 3))
    return (colours[:, None, None] + noise).astype(np.uint8), y


@pytest.fixture(scope="module")
def paths(arrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i, pixels in enumerate(arrays[0]):
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def test_arrays_and_paths_give_the_same_answers(arrays, paths):
    x, y = arrays
    by_array = ImageClassifier(**FAST).fit(x, y)
    by_path = ImageClassifier(**FAST).fit(paths, y)

    np.testing.assert_array_equal(by_array.predict_proba(x), by_path.predict_proba(paths))
    np.testing.assert_array_equal(by_array.classes_, ["blue", "red"])
    np.testing.assert_allclose(by_array.predict_proba(x).sum(axis=1), 1)
    assert by_array.score(x, y) == 1.0


@pytest.mark.parametrize("form", ["paths", "arrays"])
def test_cross_val_score_in_two_processes(arrays, paths, form):
    x, y = (paths, arrays[1]) if form == "paths" else arrays

    scores = cross_val_score(ImageClassifier(**FAST), x, y, cv=3, n_jobs=2)

    np.testing.assert_array_equal(scores, [1, 1, 1])


def test_grid_search_over_options(arrays):
    search = GridSearchCV(ImageClassifier(**FAST), {"head": ["taps", "gap"]}, cv=2).fit(*arrays)

    assert set(search.best_params_) == {"head"}
    assert search.score(*arrays) == 1.0


def test_options_that_change_after_the_fit_count_at_the_next(arrays, tmp_path, monkeypatch):
    """Neither the answers nor the shared cache take them for those of the fit."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    x, y = arrays
    fitted = ImageClassifier(**FAST).fit(x[:20], y[:20])
    expected = ImageClassifier(**FAST).fit(x[:20], y[:20]).predict_proba(x[20:25])

    fitted.set_params(head="gap", views=8, image_size=48, random_state=3)

    np.testing.assert_array_equal(fitted.predict_proba(x[20:25]), expected)
    fitted.predict_proba(x[25:])
    np.testing.assert_array_equal(ImageClassifier(**FAST).fit(x, y).predict(x), y)


def test_a_class_of_two_with_most_images_for_validation(arrays):
    x, _ = arrays
    rare = np.array(["red", "blue"] * 14 + ["green", "green"])

    fitted = ImageClassifier(**FAST, validation_fraction=0.8).fit(x, rare)

    assert fitted.predict_proba(x).shape == (30, 3)


def test_sample_weights_of_zero_leave_images_out(arrays):
    """Ten mislabelled images without weight change the head as little as if they weren't there."""
    x, y = arrays
    wrong = np.concatenate([y, np.where(y[:10] == "red", "blue", "red")])
    doubled = np.concatenate([x, x[:10]])
    weight = np.array([1.0] * 30 + [0.0] * 10)

    model = ImageClassifier(**FAST).fit(doubled, wrong, sample_weight=weight)

    assert model.score(x, y) == 1.0


def test_images_of_weight_zero_might_as_well_not_be_there(arrays):
    """Not in the choice of the regularisation either, nor in how features are scaled."""
    x, y = arrays
    rng = np.random.default_rng(1)
    junk = rng.integers(0, 256, (40, 36, 40, 3), dtype=np.uint8)
    labels = np.concatenate([y, rng.choice(["red", "blue", "green"], 40)])
    weight = np.array([1.0] * 30 + [0.0] * 40)

    model = ImageClassifier(**FAST).fit(np.concatenate([x, junk]), labels, sample_weight=weight)

    alone = ImageClassifier(**FAST).fit(x, y)
    np.testing.assert_array_equal(model.predict_proba(x), alone.predict_proba(x))


def test_grids_of_numpy_s_numbers(arrays):
    grid = {"random_state": np.arange(2), "validation_fraction": np.linspace(0.2, 0.3, 2)}
    search = GridSearchCV(ImageClassifier(**FAST), grid, cv=2, error_score="raise").fit(*arrays)

    assert search.best_score_ == 1.0


@pytest.mark.parametrize("state", [None, np.random.RandomState(3)])
def test_a_seed_can_be_drawn(arrays, state):
    fitted = ImageClassifier(**FAST, random_state=state).fit(*arrays)

    assert 0 <= fitted.config_.seed < 2**31
    assert fitted.score(*arrays) == 1.0


def test_a_fit_that_fails_leaves_the_one_before(arrays, tmp_path):
    x, y = arrays
    fitted = ImageClassifier(**FAST).fit(x, y)
    expected = fitted.predict_proba(x)
    Image.fromarray(x[0]).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    paths = [str(tmp_path / "whole.png"), str(tmp_path / "cut.png")]

    with pytest.raises(ValueError, match="cut"):
        fitted.set_params(image_size=64).fit(paths, ["red", "green"])

    np.testing.assert_array_equal(fitted.predict_proba(x), expected)
    np.testing.assert_array_equal(fitted.classes_, ["blue", "red"])


def test_one_picture_is_not_taken_for_many(arrays):
    fitted = ImageClassifier(**FAST).fit(*arrays)

    with pytest.raises(ValueError, match=r"X cannot be used as images.*Received: 'ndarray \(36, 40, 3\)"):
        fitted.predict(arrays[0][0])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((4, 10)), [0, 1, 0, 1], "X cannot be used as images"),
        (np.zeros((4, 8, 8, 3)), [0, 1, 0, 1], "X cannot be used as images"),
        (np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0], "X and y differ in length"),
        (np.zeros((4, 8, 8, 3), np.uint8), [1, 1, 1, 1], "at least two classes"),
        (["nowhere.png", "either.png"], [0, 1], "nowhere.png: The file cannot be read"),
    ],
)
def test_wrong_input_is_a_value_error_that_helps(x, y, words):
    with pytest.raises(ValueError, match=words):
        ImageClassifier(**FAST).fit(x, y)


def test_a_wrong_option_is_found_at_fit_not_before(arrays):
    model = clone(ImageClassifier(**FAST, head="feet"))

    with pytest.raises(ValueError, match="Received: 'feet'"):
        model.fit(*arrays)


class TableClassifier(ImageClassifier):
    """Draws each row of a table as an image, since scikit-learn's checks know tables only.

    All else (labels, weights, options, what is remembered, what is pickled) is the estimator's own.
    """

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y)
        return super().fit(drawn(X), y, sample_weight)

    def decision_logits(self, X):
        check_is_fitted(self)
        return super().decision_logits(drawn(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


def drawn(table):
    """(N, F) numbers as (N, 32, 32, 3) images: a band of colour for every three columns."""
    shades = (255 / (1 + np.exp(-np.clip(table / 2, -500, 500)))).astype(np.uint8)
    shades = np.pad(shades, ((0, 0), (0, -shades.shape[1] % 3)), constant_values=128)
    colours = shades.reshape(len(table), -1, 3)
    bands = np.arange(32) * colours.shape[1] // 32
    return np.repeat(colours[:, bands, None, :], 32, axis=2)


@parametrize_with_checks(
    [TableClassifier(**FAST)],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": "which images choose the regularisation is drawn "
        "from their number, so repeating an image is not the same as giving it more weight",
    },
)
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)
