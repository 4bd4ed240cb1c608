"""A report whose texts are as hostile as the data sets they come from."""

import pytest
from PIL import Image

from fromage_lite.errors import StoreError
from fromage_lite.evaluate.intervals import Figure
from fromage_lite.evaluate.report.document import Code, Plot, Report, Samples, Section, Table, shown
from fromage_lite.evaluate.report.writing import write_report
from fromage_lite.evaluate.tasks.result import Sample, TaskResult, some_of_both

EVIL = "<script>alert(1)</script> | *x* [y](javascript:z) `a`"
FIGURE = Figure(0.5, 0.4, 0.6, 100)


@pytest.fixture
def report():
    sample = Sample(EVIL, ("p",), wanted=EVIL, said=EVIL, wanted_picture="gone", found=("p", "gone"))
    blocks = [EVIL, Table(("a|b", EVIL), [(EVIL, shown(FIGURE))]), Code(EVIL), Samples([sample])]
    plot = Plot("curve", "A curve", "x", "y", ["1", "2"], {"ours": [FIGURE, FIGURE], "other": [None, FIGURE]})
    return Report(EVIL, EVIL, [Section(EVIL, [*blocks, plot])])


def test_nothing_in_it_runs_and_pictures_are_inside(report, tmp_path):
    Image.new("RGB", (300, 200), "red").save(tmp_path / "p.png")
    page = write_report(report, tmp_path / "out", lambda id: tmp_path / "p.png" if id == "p" else None)
    html = page.read_text()
    assert "<script" not in html and html.count("&lt;script&gt;") >= 6
    assert "data:image/jpeg;base64," in html and "data:image/png;base64," in html and "http:" not in html
    assert "default-src 'none'" in html


def test_markdown_has_its_pictures_beside_it(report, tmp_path):
    Image.new("RGB", (300, 200), "red").save(tmp_path / "p.png")
    write_report(report, tmp_path / "out", lambda id: tmp_path / "p.png" if id == "p" else tmp_path / "none.png")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "<script" not in text.replace("    <script", "")  # but for the block of code
    assert r"\[y\](javascript:z)" in text and r"\*x\*" in text
    assert "![A curve](plots/curve.png)" in text
    (picture,) = (tmp_path / "out" / "pictures").iterdir()
    assert f"](pictures/{picture.name})" in text
    assert Image.open(tmp_path / "out" / "plots" / "curve.png").width > 300
    assert max(Image.open(picture).size) <= 160


def test_a_folder_that_cannot_be_written_is_one_sentence(report, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StoreError, match="can't be written"):
        write_report(report, tmp_path / "out", lambda id: None)


def test_figures_as_text():
    assert shown(FIGURE) == "0.500 [0.400, 0.600]"
    assert shown(None) == shown(Figure(float("nan"), 0, 0, 0)) == "–"


def test_results_are_kept_whole():
    result = TaskResult({"a/b": FIGURE}, {"evaluated": 3}, [Sample("q", ("1",), found=("2", "3"), is_right=True)])
    assert TaskResult.from_dict(result.to_dict()) == result


def test_examples_are_the_first_of_both_kinds():
    samples = [Sample(str(n), is_right=n % 3 == 0) for n in range(30)]
    assert [sample.asked for sample in some_of_both(samples, 2)] == ["0", "3", "1", "2"]
