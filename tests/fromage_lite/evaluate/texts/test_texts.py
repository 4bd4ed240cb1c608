"""Golden values: what pycocoevalcap, with its own Java tokenizer, says of the same captions."""

import json
from pathlib import Path

import numpy as np
import pytest

from fromage_lite.evaluate.texts.bleu import bleu_counts, bleu_of
from fromage_lite.evaluate.texts.cider import cider_d
from fromage_lite.evaluate.texts.clipscore import clip_scores, ref_clip_scores
from fromage_lite.evaluate.texts.rouge import rouge_l
from fromage_lite.evaluate.texts.tokens import CaptionTokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "captions.json").read_text())

# Where NLTK and Stanford's tokenizer differ: an abbreviation before the full stop, an address.
DIFFERENT = ("a T-shirt, well-lit room at 10:30 a.m. on 5th ave.", "email me at a@b.com or http://x.org now")


@pytest.fixture(scope="module")
def words():
    tokenizer = CaptionTokenizer()
    captions = [tokenizer(caption) for caption in GOLDEN["captions"]]
    references = [[tokenizer(reference) for reference in known] for known in GOLDEN["references"]]
    return captions, references


@pytest.mark.parametrize("caption", [text for text in GOLDEN["tokens"] if text not in DIFFERENT])
def test_words_are_those_of_the_java_tokenizer(caption):
    assert " ".join(CaptionTokenizer()(caption)) == GOLDEN["tokens"][caption]


def test_bleu_1_to_4(words):
    assert bleu_of(bleu_counts(*words)) == pytest.approx(GOLDEN["bleu"], abs=1e-6)


def test_rouge_l(words):
    scores = [rouge_l(caption, known) for caption, known in zip(*words, strict=True)]
    assert scores == pytest.approx(GOLDEN["rouge_l_each"], abs=1e-9)


def test_cider_d(words):
    scores = cider_d(*words)
    assert scores == pytest.approx(GOLDEN["cider_d_each"], abs=1e-9)
    assert np.mean(scores) == pytest.approx(GOLDEN["cider_d"], abs=1e-9)


def test_empty_captions_score_nothing(words):
    _, references = words
    nothing = [()] * len(references)
    assert bleu_of(bleu_counts(nothing, references)).tolist() == [0, 0, 0, 0]
    assert rouge_l((), references[0]) == 0 and set(cider_d(nothing, references)) == {0}


def test_clip_scores_by_hand():
    vectors = {"P cat": [1, 0], "P dog": [0, 2], "P both": [1, 1], "P not": [-1, 0]}

    def encode(texts):
        return np.array([vectors[text] for text in texts], dtype=np.float32)

    features = np.array([[3, 0], [3, 0], [3, 0]], dtype=np.float32)
    captions = ["cat", "both", "not"]
    scores = clip_scores(captions, features, encode, prefix="P ")
    assert scores == pytest.approx([2.5, 2.5 / 2**0.5, 0])
    references = [["both", "dog"], ["both"], ["cat"]]
    half = 2**-0.5
    wanted = [2 * 2.5 * half / (2.5 + half), 2 * 2.5 * half / (2.5 * half + 1), 0]
    assert ref_clip_scores(captions, references, scores, encode, prefix="P ") == pytest.approx(wanted)
