from __future__ import annotations

import numpy as np

from headstart.inference.decision import ALWAYS, Rule


def test_without_costs_the_most_probable_class_is_answered():
    p = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    assert ALWAYS.answers(p).tolist() == [1, 0]


def test_costs_move_the_answer_to_where_the_expected_cost_is_least():
    """A crack (1) taken for sound (0) costs 50: sound is answered below 1/51 of a crack only."""
    rule = Rule(costs=((1, 0, 50.0),))
    cracked = np.array([0.01, 1 / 51 - 1e-6, 1 / 51 + 1e-6, 0.6])
    assert rule.answers(np.stack([1 - cracked, cracked], axis=1)).tolist() == [0, 0, 1, 1]
    assert rule.matrix(2).tolist() == [[0, 1], [50, 0]]


def test_a_class_that_nothing_calls_for_may_be_the_cheapest():
    """Answering c never costs more than 0.1: with doubt between a and b it is the answer."""
    rule = Rule(costs=((0, 2, 0.1), (1, 2, 0.1)))
    assert rule.answers(np.array([[0.5, 0.5, 0.0], [0.95, 0.05, 0.0]])).tolist() == [2, 0]


def test_what_is_far_is_unfamiliar_even_where_it_is_unsure_too():
    rule, far = Rule(confidence=0.8, distance=2.0), np.array([1.0, 1.0, 2.1, 2.0])
    found = rule.decisions(np.array([0.9, 0.7, 0.7, 0.8]), far)
    assert found.tolist() == ["accept", "abstain", "unfamiliar", "accept"]


def test_without_a_known_distance_nothing_is_unfamiliar():
    assert ALWAYS.decisions(np.array([0.1]), np.array([1e9])).tolist() == ["accept"]
    assert Rule(0.5, 1.0).decisions(np.array([0.1, 0.6]), None).tolist() == ["abstain", "accept"]
