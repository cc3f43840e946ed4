"""Strategies: every choice that was left to us is made, contradictions are refused, phases are values."""

import pytest

from headstart.config import RunConfig
from headstart.errors import InputError
from headstart.training.phases import phases, resolved


def plan(**options):
    config = resolved(RunConfig.from_options(**options))
    return config, phases(config)


def test_frozen_by_default():
    config, (head,) = plan()

    assert (config.model.head, config.training.solver, config.training.augment) == ("taps", "lbfgs", "none")
    assert (head.name, head.boundary, head.views) == ("head", "features", 1)
    assert (head.epochs, head.learning_rate) == (0, 0.0)  # it is solved exactly
    _, (head,) = plan(solver="keras")
    assert (head.epochs, head.learning_rate) == (100, 1e-2)


@pytest.mark.parametrize(("option", "value"), [("loss", "focal"), ("epochs", 3), ("time_limit", "1m")])
def test_what_is_for_steps_is_refused_where_there_are_none(option, value):
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} is for training in steps"):
        plan(**{option: value})


def test_more_variants_than_there_are_are_refused():
    with pytest.raises(InputError, match=r"1 to 2 with --augment flip\. Received: 6"):
        plan(strategy="finetune", augment="flip", augment_views=6)


def test_finetune_trains_the_head_first_and_then_block5_at_a_hundredth_of_the_rate():
    config, (head, top) = plan(strategy="finetune")

    assert (config.model.head, config.training.unfreeze) == ("gap", "block5")
    assert (head.name, head.boundary, head.epochs, head.learning_rate) == ("head", "features", 100, 1e-2)
    assert (top.name, top.boundary, top.epochs, top.learning_rate) == ("top", "block4_pool", 12, 1e-4)


def test_scratch_is_one_phase_from_the_pixels():
    config, (everything,) = plan(strategy="scratch")

    assert (config.model.head, config.training.unfreeze) == ("gap", "all")
    assert (everything.name, everything.boundary) == ("all", "image")
    assert (everything.epochs, everything.learning_rate) == (60, 1e-3)


@pytest.mark.parametrize(
    ("unfreeze", "name", "boundary"),
    [("block4", "top", "block3_pool"), ("1", "top", "block5_conv2"), ("all", "all", "image")],
)
def test_the_boundary_lies_below_what_is_unfrozen(unfreeze, name, boundary):
    _, (_, top) = plan(strategy="finetune", unfreeze=unfreeze)

    assert (top.name, top.boundary) == (name, boundary)


def test_what_is_asked_for_is_kept_and_goes_to_the_last_phase():
    """The head in front has epochs and a rate of its own, all else is common."""
    _, (head, top) = plan(
        strategy="finetune", head="taps", epochs=3, learning_rate=0.5, batch_size=7, dropout=0.25, patience=2,
        average=0.9, loss="focal", precision="float32", optimizer="sgd", label_smoothing=0.1,
    )  # fmt: skip

    assert (top.epochs, top.learning_rate) == (3, 0.5)
    assert (head.epochs, head.learning_rate) == (100, 1e-2)
    for phase in (head, top):
        assert (phase.batch_size, phase.dropout, phase.patience, phase.average) == (7, 0.25, 2, 0.9)
        assert (phase.loss, phase.precision, phase.optimizer) == ("focal", "float32", "sgd")
        assert phase.label_smoothing == 0.1
    _, (alone,) = plan(solver="keras", epochs=3, learning_rate=0.5)
    assert (alone.epochs, alone.learning_rate) == (3, 0.5)


@pytest.mark.parametrize(
    ("options", "augment", "views"),
    [
        ({}, "none", 1),
        ({"views": 8}, "dihedral", 8),
        ({"views": 8, "augment": "none"}, "none", 1),
        ({"augment": "flip"}, "flip", 2),
        ({"augment": "flip", "augment_views": 1}, "flip", 1),
        ({"augment": "photo"}, "photo", 4),
        ({"augment": "photo", "augment_views": 6}, "photo", 6),
        ({"augment": "dihedral", "augment_views": 4}, "dihedral", 4),
        ({"augment": "strong"}, "strong", 8),
    ],
)
def test_views_follow_from_the_augmentation(options, augment, views):
    config, made = plan(strategy="finetune", **options)

    assert (config.training.augment, config.training.augment_views) == (augment, views)
    assert [(phase.augment, phase.views) for phase in made] == [(augment, views)] * 2


@pytest.mark.parametrize("strategy", ["frozen", "finetune"])
def test_only_steps_train_the_papers_head(strategy):
    config, made = plan(strategy=strategy, head="vgg")

    assert config.training.solver == "keras"
    assert made[0].learning_rate == 1e-3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"strategy": "frozen", "unfreeze": "block5"}, ["--unfreeze", "--strategy frozen"]),
        ({"strategy": "scratch", "unfreeze": "block5"}, ["--unfreeze", "--strategy scratch"]),
        ({"strategy": "scratch", "weights": "w.h5"}, ["--weights", "--strategy scratch"]),
        ({"strategy": "frozen", "mix": "cutmix"}, ["--mix cutmix", "--strategy frozen"]),
        ({"strategy": "finetune", "optimizer": "adam", "weight_decay": 0.1}, ["--optimizer adam", "adamw"]),
        ({"strategy": "finetune", "mix": "mixup", "head": "taps"}, ["--mix", "--head taps"]),
    ],
)
def test_contradictions_are_refused_in_one_line(options, named):
    with pytest.raises(InputError) as refused:
        plan(**options)

    line = str(refused.value)
    assert "\n" not in line
    assert line.endswith("Leave one of them out.")
    assert all(option in line for option in named)


def test_maps_are_cut_where_there_are_maps():
    assert [phase.mix for phase in plan(strategy="finetune", mix="cutmix")[1]] == ["none", "cutmix"]
    assert [phase.mix for phase in plan(strategy="finetune", mix="mixup")[1]] == ["mixup", "mixup"]
    everything = plan(strategy="scratch", mix="mixup", head="taps")[1]  # none of its taps is frozen
    assert [phase.mix for phase in everything] == ["mixup"]


def test_a_part_that_is_not_there_is_refused_before_any_work():
    with pytest.raises(InputError, match=r"block5, block4, .*Received: 'block9'\. Change --unfreeze\."):
        plan(strategy="finetune", unfreeze="block9")
    with pytest.raises(InputError, match="from 1 to 5"):
        plan(strategy="finetune", unfreeze="6", backbone="vgg-tiny")


def test_resolving_twice_changes_nothing():
    """What ``run.json`` says can be given again."""
    for strategy in ("frozen", "finetune", "scratch"):
        for views in (1, 8):
            config = resolved(RunConfig.from_options(strategy=strategy, views=views))
            assert resolved(config) == config
            assert config.training.augment != "auto"
            exact = strategy == "frozen"
            assert (config.training.epochs == 0) == (config.training.learning_rate == 0) == exact
