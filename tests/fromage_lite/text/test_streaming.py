import pytest

from fromage_lite.text.streaming import TextStream


def run(pieces, stops=("\n", "Q:")):
    """Streams byte pieces; gives the deltas, what the flush adds, and whether it stopped."""
    stream = TextStream(lambda ids: b"".join(pieces[i] for i in ids).decode(errors="replace"), stops)
    deltas = []
    for position in range(len(pieces)):
        deltas.append(stream.push(position))
        if stream.is_stopped:
            break
    return deltas, stream.flush(), stream


def test_leading_blanks_are_no_part_of_the_reply():
    assert run([b" ", b" a", b" b"])[0] == ["", "a", " b"]


def test_a_character_split_over_tokens_is_shown_whole():
    deltas, rest, _ = run([b"a", b"\xf0\x9f", b"\x99", b"\x82", b"b"])
    assert (deltas, rest) == (["a", "", "", "🙂", "b"], "")


def test_half_a_character_at_the_end_stays_unsaid():
    assert run([b"a", b"\xf0\x9f"])[:2] == (["a", ""], "")


def test_possible_beginning_of_a_stop_string_is_held_back():
    assert run([b"a", b"Q", b"uick"])[0] == ["a", "", "Quick"]
    assert run([b"a", b" Q"])[:2] == (["a", " "], "Q")


@pytest.mark.parametrize("pieces", [[b"a b", b"\nmore"], [b"a b\nQ", b": x"], [b"a b", b"Q", b":"], [b"a", b" bQ:x"]])
def test_stop_strings_are_never_shown(pieces):
    deltas, rest, stream = run(pieces)
    assert "".join(deltas) + rest == "a b"
    assert stream.is_stopped


def test_stop_at_the_very_beginning():
    deltas, rest, stream = run([b" ", b"\n"])
    assert (deltas, rest, stream.visible) == (["", ""], "", " ")


def test_the_earliest_stop_string_wins():
    assert run([b"one Q: two\n three"])[0] == ["one "]


def test_without_stop_strings_nothing_is_held_back():
    assert run([b"Q", b":\n", b"x"], stops=())[0] == ["Q", ":\n", "x"]
