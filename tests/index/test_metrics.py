"""Retrieval metrics, and the command that messages name."""

import shlex

import numpy as np
import pytest

from index.commands import index_command
from index.metrics import neighbour_recall, recall_at_k


def test_recall_counts_the_queries_with_a_right_item_among_the_first():
    is_right = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    assert [recall_at_k(is_right, k) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_the_recall_of_neighbours_counts_them_in_any_order():
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert neighbour_recall(exact[:, ::-1], exact) == 1.0
    assert neighbour_recall(np.array([[4, 9, 1, -1], [-1, -1, -1, -1]]), exact) == pytest.approx(2 / 8)


def test_a_command_can_be_pasted_into_a_shell():
    words = shlex.split(index_command("/tmp/my index", "it's mine", pictures="my pictures"))
    assert words == ["fromage-lite", "index", "my pictures", "--model", "it's mine", "--out", "/tmp/my index"]
    assert index_command("runs/i") == "fromage-lite index --model MODEL --out runs/i"
