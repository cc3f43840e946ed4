"""Softmax by hand."""

import numpy as np

from headstart.inference.softmax import softmax


def test_softmax_by_hand():
    # e^0 : e^0 : e^ln 2 = 1 : 1 : 2
    np.testing.assert_allclose(softmax(np.array([[0.0, 0.0, np.log(2.0)]])), [[0.25, 0.25, 0.5]])


def test_softmax_is_divided_by_the_temperature():
    # ln 4 / 2 = ln 2, so 1 : 2
    np.testing.assert_allclose(softmax(np.array([[0.0, np.log(4.0)]]), temperature=2.0), [[1 / 3, 2 / 3]])


def test_softmax_of_huge_logits_is_finite():
    np.testing.assert_array_equal(softmax(np.array([[1e30, 0.0]])), [[1.0, 0.0]])
