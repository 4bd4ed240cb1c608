"""Golden values: the official evaluation of VQA v2, run on the same answers."""

import json
from pathlib import Path

import pytest

from fromage_lite.evaluate.vqa_accuracy import answer_in, normal, vqa_accuracy

CASES = json.loads((Path(__file__).parent / "golden" / "answers.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["reply"] for case in CASES])
def test_as_the_official_code(case):
    assert normal(case["reply"]) == case["normal"]
    assert vqa_accuracy(case["reply"], case["answers"]) == pytest.approx(case["accuracy"], abs=1e-6)


def test_one_answer_is_right_or_wrong():
    assert vqa_accuracy("The table", ["table"]) == 1 and vqa_accuracy("chair", ["table"]) == 0


def test_the_answer_in_a_reply():
    assert answer_in(" two red cars.\nQ: and") == "two red cars" and answer_in("") == ""
