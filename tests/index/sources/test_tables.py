"""Tables of captions in every dialect that people have; expected are the values that the writer put in."""

from __future__ import annotations

import codecs
import csv
import io
import tracemalloc

import pytest

from index.errors import StoreError
from index.sources.tables import LONGEST_LINE, Row, decode, read_rows

PLAIN = [("a red thing", "pics/a.png"), ("second", "pics/b c.png"), ("ein Zürcher Café 猫", "pics/ü.png")]
QUOTED = [
    ('a "red" thing', "pics/a.png"),
    ("two\nlines", "pics/d.png"),
    ("tab\there", "pics/e.png"),
    ('"quoted", and on', "pics/f.png"),
    ('\n"\t"\n', "pics/g.png"),
    ("three\n\nlines\tand a tab\n", 'pics/"h".png'),
    ('ends in a mark"', "pics/i.png"),
]


@pytest.fixture
def rows(tmp_path):
    def rows(content, encoding="utf-8"):
        path = tmp_path / "table.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return list(read_rows(path))

    return rows


def pairs(rows):
    assert [row.problem for row in rows] == [""] * len(rows)
    return [(row.caption, row.image) for row in rows]


def problems(rows):
    return {row.line: row.problem for row in rows if row.problem}


def written(rows, end, quoting=csv.QUOTE_MINIMAL):
    """As Excel writes them: line breaks in cells are LF, whatever ends the rows."""
    file = io.StringIO(newline="")
    csv.writer(file, delimiter="\t", lineterminator="\r\n", quoting=quoting).writerows(rows)
    return file.getvalue().replace("\r\n", end)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("is_closed", [True, False])
def test_every_kind_of_line_end(rows, end, is_closed):
    text = end.join("\t".join(pair) for pair in PLAIN) + (end if is_closed else "")
    assert pairs(rows(text)) == PLAIN
    assert [row.line for row in rows(text)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_that_says_which_it_is(rows, mark, encoding, end):
    assert pairs(rows(mark + written(QUOTED, end).encode(encoding))) == QUOTED


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quoted_cells_of_spreadsheets(rows, quoting, end):
    assert pairs(rows(written(QUOTED, end, quoting))) == QUOTED
    heading = written([("caption", "image"), *QUOTED], end, quoting)
    assert pairs(rows(heading)) == QUOTED


def test_rows_have_the_numbers_of_their_first_lines(rows):
    assert [row.line for row in rows('"two\nlines"\ta.png\n\n\nb\tb.png\n"x\n\ny"\tc.png\nd\td.png\n')] == [1, 5, 6, 9]


def test_line_breaks_in_cells_are_one_kind(rows):
    assert pairs(rows('"a\r\nb\rc\nd"\tx.png\r\n')) == [("a\nb\nc\nd", "x.png")]


def test_marks_in_cells_that_are_not_quoted_are_characters(rows):
    """As in Google's table, whose writer knows no quoting."""
    table = [
        ('a 12" pizza', "a.png"),
        ('a 12" pizza and a 10" one', "b.png"),
        ('the "stop" sign', "c.png"),
        ('"the raven" by poe', "d.png"),
        ('"yes", he said, "no"', "e.png"),
        ("5' 10\"", "f.png"),
        ('ends in a mark"', "g.png"),
    ]
    assert pairs(rows("".join(f"{caption}\t{image}\n" for caption, image in table))) == table


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_mark_that_is_never_closed_costs_one_row(rows, end):
    table = ["first\ta.png", '"never closed\tb.png', 'a 12"\tc.png', '"again\td.png', "last\te.png"]
    found = rows(end.join(table))
    assert problems(found) == {2: "its quotation mark is not closed", 4: "its quotation mark is not closed"}
    assert [(row.line, row.caption) for row in found if not row.problem] == [(1, "first"), (3, 'a 12"'), (5, "last")]


def test_an_endless_cell_is_given_up_and_the_lines_are_read_as_they_are(rows):
    found = rows('"open\n' + "".join(f"row {number}\t{number}\n" for number in range(1000)))
    assert problems(found) == {1: "its quotation mark is not closed"}
    assert [row.image for row in found[1:]] == [str(number) for number in range(1000)]


def test_bytes_that_are_no_utf_8_are_a_bad_row_with_its_number(rows):
    found = rows("a café\tpics/a.png\n".encode("latin-1") + "ein ü\tpics/ü.png\nplain\tb.png\n".encode())
    assert problems(found) == {1: "it is not UTF-8 (byte 0xE9); save it as UTF-8"}
    assert [(row.caption, row.image) for row in found[1:]] == [("ein ü", "pics/ü.png"), ("plain", "b.png")]
    windows = rows("a “quote”\ta.png\nMacs…\tb.png\n".encode("cp1252"))
    assert list(problems(windows)) == [1, 2]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf_16_without_its_mark_is_refused_with_the_reason(rows, encoding):
    found = rows("a red thing\ta.png\nsecond\tb.png\n".encode(encoding))
    assert found and all("UTF-16 without a byte order mark" in row.problem for row in found)


def test_damaged_utf_16_costs_its_rows_only(rows):
    data = "first\ta.png\nhalf \ud800 pair\tb.png\nlast\tc.png\n".encode("utf-16-le", "surrogatepass")
    found = rows(codecs.BOM_UTF16_LE + data + b"\n")  # and half a character at the end
    assert [row.caption for row in found if not row.problem] == ["first", "last"]
    assert all("not UTF-16" in problem for problem in problems(found).values()) and 2 in problems(found)


def test_a_stray_line_end_is_refused_not_guessed(rows):
    assert problems(rows("one\ta.png\na red\rthing\tb.png\nlast\tc.png\n")) == {
        2: "a line break of another kind stands in it; quote the cell"
    }
    assert problems(rows("one\ta.png\ra red\nthing\tb.png\rlast\tc.png\r")) == {
        2: "a line break of another kind stands in it; quote the cell"
    }
    assert problems(rows('one\ta.png\na "red"\rthing\tb.png\n')) == {
        2: "a line break of another kind stands in it; quote the cell"
    }


def test_a_byte_order_mark_where_files_were_joined(rows):
    assert pairs(rows('a\ta.png\n\ufeff"b ""c"""\tb.png\n')) == [("a", "a.png"), ('b "c"', "b.png")]


def test_a_heading_says_where_the_columns_are(rows):
    pandas = '\tcaption\timage\n0\ta thing\ta.png\n1\t"a ""b"""\tb.png\n'  # DataFrame.to_csv(sep="\t")
    assert pairs(rows(pandas)) == [("a thing", "a.png"), ('a "b"', "b.png")]
    assert pairs(rows("Image\tID\tCaption\na.png\t7\ta thing\n")) == [("a thing", "a.png")]
    assert problems(rows("image\tcaption\na.png\ta tab\there\n")) == {2: "it has 3 columns, but the heading 2"}
    assert pairs(rows("\r\nCAPTION \t image\r\na\ttab\ta.png\r\n")) == [("a\ttab", "a.png")]


def test_what_is_no_row(rows):
    bad = "it is not a line `caption<TAB>image`"
    assert problems(rows('no tab\na\tb.png\n"a\tb.png"\ncaption\t \n\n')) == {1: bad, 3: bad, 4: bad}
    assert rows("") == rows("\n\r\n \n") == rows(codecs.BOM_UTF16_LE) == []
    assert rows("\ta.png\n") == [Row(1, "", "a.png")]


def test_a_file_without_line_ends_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "table.tsv"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(b"x" * LONGEST_LINE)
        file.write(b"\nshort\ta.png\n")
    tracemalloc.start()
    found = list(read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row.line, row.caption, row.problem) for row in found] == [
        (1, "", "it is too long to be a row"),
        (2, "short", ""),
    ]
    assert peak < 10 * LONGEST_LINE


def test_rows_are_streamed(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("".join(f'"caption ""{number}"""\tpictures/{number}.png\n' for number in range(50_000)))
    tracemalloc.start()
    assert sum(not row.problem for row in read_rows(path)) == 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_table_that_cannot_be_read_is_a_clear_error(tmp_path):
    with pytest.raises(StoreError, match="can't be read"):
        list(read_rows(tmp_path))


def test_the_text_of_a_small_file():
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert decode("Füße 猫".encode(encoding)) == "Füße 猫"
    assert decode("Füße".encode()[:2], is_whole=False) == "F"
    for data, why in [("Füße".encode("latin-1"), "0xFC"), ("ab".encode("utf-16-le"), "zero bytes")]:
        with pytest.raises(ValueError, match=why):
            decode(data)
