"""Searches for several things at once."""

from __future__ import annotations

import numpy as np
import pytest

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.search import Term, parse_terms
from fromage_lite.errors import ConfigError, ImageError, MessageError
from fromage_lite.text.message import ImageSegment
from fromage_lite.text.spelling import Spelling
from tests.fromage_lite.fakes import ListedPictures


@pytest.fixture
def agent(tiny_model):
    return Agent(tiny_model, ListedPictures())


@pytest.fixture
def picture(tmp_path, pictures):
    path = tmp_path / "red.png"
    pictures[0].save(path)
    return str(path)


def text(words: str, weight: float = 1.0) -> Term:
    return Term(weight, (words,))


def found_with(agent: Agent, *terms: Term) -> np.ndarray:
    """The vector that the index was searched with."""
    agent.find(terms, 1)
    return agent.index.queries[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a cat", [text("a cat")]),
        ("a cat + at night", [text("a cat"), text("at night")]),
        ("a cat - a dog", [text("a cat"), text("a dog", -1)]),
        ("- a dog + 2:a cat", [text("a dog", -1), text("a cat", 2)]),
        ("a cat - .5:a dog", [text("a cat"), text("a dog", -0.5)]),
        ("0.25:http://a/b is a text", [text("http://a/b is a text", 0.25)]),
        ("12:30 at the station", [text("12:30 at the station")]),
        ("a-b c+d", [text("a-b c+d")]),
        ("<image:x.png> at night", [Term(1, (ImageSegment("x.png"), "at night"))]),
        ("2:<image:x.png>", [Term(2, (ImageSegment("x.png"),))]),
    ],
)
def test_words_become_terms(words, expected):
    assert parse_terms(words.split()) == expected
    assert parse_terms(words.split(), ["y.png"]) == [*expected, Term(1, (ImageSegment("y.png"),))]


def test_a_file_that_is_there_is_a_picture_and_a_text_that_looks_like_one_is_none(picture, tmp_path, monkeypatch):
    assert parse_terms([picture]) == [Term(1, (ImageSegment(picture),))]
    assert parse_terms(["2:" + picture, "-", "a cat"])[0] == Term(2, (ImageSegment(picture),))
    assert parse_terms(["no such file.png"]) == [text("no such file.png")]
    assert parse_terms(["nosuch.png"]) == [Term(1, (ImageSegment("nosuch.png"),))], "a name, not words"
    assert parse_terms([str(tmp_path)]) == [Term(1, (ImageSegment(str(tmp_path)),))]
    assert parse_terms(["and/or"]) == [text("and/or")]
    jfif = tmp_path / "photo.jfif"
    jfif.touch()
    assert parse_terms([str(jfif)]) == [Term(1, (ImageSegment(str(jfif)),))], "a JPEG as browsers save it"
    (tmp_path / "cat").write_text("a file, but no picture")
    monkeypatch.chdir(tmp_path)
    assert parse_terms(["cat"]) == [text("cat")]


@pytest.mark.parametrize("words", ["cat +", "cat -", "cat + - dog", "cat + + dog", "+"])
def test_a_sign_without_anything_is_refused(words):
    with pytest.raises(MessageError):
        parse_terms(words.split())


def test_one_text_is_searched_as_ever(agent):
    agent.search(["a cat"], 1)
    np.testing.assert_allclose(found_with(agent, text("a cat", 3)), agent.index.queries[0], rtol=1e-5, atol=1e-6)


def test_a_picture_alone_is_its_own_embedding_as_the_index_has_it(agent, picture, pictures):
    import torch

    from fromage_lite.model.projection import projection

    with torch.inference_mode():
        features = agent.model.image_features([pictures[0]]).pooled.float().numpy()
    expected = projection(agent.model)(features)[0]
    query = found_with(agent, Term(1, (ImageSegment(picture),)))
    np.testing.assert_allclose(query, expected, rtol=1e-4, atol=1e-5)


def test_terms_are_added_by_their_weights(agent, picture):
    shown = Term(1, (ImageSegment(picture),))
    first, second, third = (found_with(agent, term) for term in (text("a cat"), text("at night"), shown))
    query = found_with(agent, text("a cat", 2), text("at night", -0.5), shown)
    expected = 2 * first - 0.5 * second + third
    np.testing.assert_allclose(query, expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-5)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)


def test_terms_that_cancel_each_other_are_refused(agent):
    with pytest.raises(MessageError, match="cancel"):
        agent.find([text("a cat"), text("a cat", -1)], 1)
    with pytest.raises(MessageError, match="nothing"):
        agent.find([], 1)


def test_what_cannot_be_searched_says_so(agent, picture, tmp_path):
    with pytest.raises(ImageError):
        agent.find([Term(1, (ImageSegment(str(tmp_path / "gone.png")),))], 1)
    with pytest.raises(MessageError, match="too long"):
        agent.find([text("a " * 100_000)], 1)
    agent.engine.index = None
    for term in (text("a cat"), Term(1, (ImageSegment(picture),))):
        with pytest.raises(ConfigError, match="no index"):
            agent.find([term], 1)


def test_misspelt_words_are_looked_for_as_they_were_meant(agent, picture):
    agent.model.spelling = Spelling(["elephant"])
    terms = [text("an elefant"), Term(-1, (ImageSegment(picture),))]
    assert agent.terms_as_read(terms) == [text("an elephant"), terms[1]]
    assert agent.read_as(["an elefant"]) == ("an elephant",)
    agent.search(["an elefant"], 1)
    agent.search(["an elephant"], 1, spelling="off")
    agent.search(["an elefant"], 1, spelling="off")
    meant, right, typed = agent.index.queries
    np.testing.assert_array_equal(meant, right)
    assert not np.allclose(meant, typed)
