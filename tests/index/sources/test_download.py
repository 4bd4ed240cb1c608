"""Tables of web addresses: what is fetched, how fast, what is remembered, and what is reported."""

from __future__ import annotations

import json

import pytest

from index.building.build import build_store
from index.building.failures import BAD_LIST, FAILURES
from index.errors import StoreError, TemporaryImageError
from index.pictures.images import open_image
from index.sources.download import Downloader, DownloadLimits
from index.sources.recognise import SourceOptions, open_source
from index.sources.thumbnails import picture_thumbnail
from index.sources.web import BusyServerError
from index.store.feature_store import FeatureStore

ONE_AT_A_TIME = SourceOptions(limits=DownloadLimits(at_once=1, per_host=1e6))


class Time:
    """A clock that sleeping moves."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def build(reader, embed, out, **options):
    return build_store(reader, embed, out, encoder_fingerprint="mean-colour", batch_size=4, **options)


@pytest.fixture
def gallery(web, tmp_path, painter):
    """A web server with six pictures and a table of Google's kind: no heading, `caption<TAB>url`."""
    address, pages, asked = web
    for number in range(6):
        pages[f"/{number}.jpg"] = (200, {}, painter(tmp_path / f"{number}.png", number / 7).read_bytes())
    table = tmp_path / "Train_GCC-training.tsv"
    table.write_text("".join(f"a picture of {number}\t{address}/{number}.jpg\n" for number in range(6)))
    return address, pages, asked, table


def test_googles_table_is_downloaded_and_its_pictures_keep_their_address(gallery, tmp_path, encode):
    address, _, asked, table = gallery
    report = build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out")
    assert (report.added, report.captioned, report.failed) == (6, 6, 0)
    assert asked == [f"/{number}.jpg" for number in range(6)]
    store = FeatureStore.open(tmp_path / "out")
    assert store.row(3) == (f"{address}/3.jpg", "a picture of 3")
    assert open_image(store.thumbnail(3)).size == (24, 16)  # shown without the web
    assert open_image(picture_thumbnail(f"{address}/3.jpg")).size == (24, 16)


@pytest.mark.parametrize(
    "text",
    [
        "{url}\ta caption\twith a tab\n",  # CC12M has the address first
        "url\tcaption\n{url}\ta caption\twith a tab\n",
        "caption\turl\na caption\twith a tab\t{url}\n",  # as img2dataset wants it
        "TEXT\tURL\na caption\twith a tab\t{url}\n",
        "{url}\n",
        "url\n{url}\n\n",
    ],
)
def test_the_forms_of_a_table_of_addresses(web, tmp_path, encode, painter, text):
    address, pages, _ = web
    pages["/0.jpg"] = (200, {}, painter(tmp_path / "0.png", 0.5).read_bytes())
    table = tmp_path / "list.txt"
    table.write_text(text.format(url=f"{address}/0.jpg"))
    if text.startswith("url\tcaption"):
        table.write_text(table.read_text().replace("\twith", " with"))  # with a heading a row has its columns
    report = build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out")
    assert (report.added, report.failed) == (1, 0)
    caption = "a caption with a tab" if "caption" in text else ""
    assert FeatureStore.open(tmp_path / "out").row(0) == (f"{address}/0.jpg", caption)


def test_losses_are_a_report_with_causes_and_examples(gallery, tmp_path, encode):
    address, pages, asked, table = gallery
    del pages["/1.jpg"], pages["/4.jpg"]
    pages["/2.jpg"] = (200, {"Content-Type": "image/jpeg"}, b"<html>this picture has moved</html>")
    with table.open("a") as file:
        file.write("no address here\nfiles\tftp://pictures.example/x.jpg\n")
    report = build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out")
    assert (report.total, report.failed) == (3, 5)
    written = json.loads((tmp_path / "out" / FAILURES).read_text())
    assert (written["pictures"], written["failed"]) == (8, 5)
    assert [(cause["cause"], cause["count"], cause["example"]) for cause in written["causes"]] == [
        ("HTTP 404", 2, f"{address}/1.jpg"),
        ("it is not a line `caption<TAB>image`", 1, f"{table}, line 7"),
        ("not a picture", 1, f"{address}/2.jpg"),
        ("only http and https addresses can be fetched", 1, "ftp://pictures.example/x.jpg"),
    ]
    assert written["causes"][0]["reason"] == f"{address}/1.jpg is gone (the server says 404)."
    assert len((tmp_path / "out" / BAD_LIST).read_text().splitlines()) == 5

    asked.clear()
    again = build(open_source(table, ONE_AT_A_TIME), lambda images: 1 / 0, tmp_path / "out")
    assert (again.unchanged, again.failed, asked) == (3, 5, [])  # the same report, and nobody is asked
    assert json.loads((tmp_path / "out" / FAILURES).read_text()) == written

    pages["/1.jpg"] = pages["/0.jpg"]
    retried = build(open_source(table, ONE_AT_A_TIME), lambda images: 1 / 0, tmp_path / "out", retry_failed=True)
    assert asked == ["/1.jpg", "/2.jpg", "/4.jpg"]
    assert (retried.reused, retried.failed) == (1, 4)  # the same bytes as /0.jpg: not embedded again


def test_an_interrupted_download_goes_on_where_it_stopped(gallery, tmp_path, encode):
    _, pages, asked, table = gallery
    del pages["/0.jpg"]
    calls = []

    def embed(images):
        calls.append(len(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(images)

    with pytest.raises(KeyboardInterrupt):
        build(open_source(table, ONE_AT_A_TIME), embed, tmp_path / "out")
    asked.clear()
    report = build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out")
    assert (report.unchanged, report.added, report.failed) == (4, 1, 1)
    assert asked == ["/5.jpg"]  # neither what is in the store nor what was dead


def test_what_may_come_back_is_asked_again(gallery, tmp_path, encode):
    _, pages, asked, table = gallery
    sound, pages["/5.jpg"] = pages["/5.jpg"], (503, {}, b"")
    assert build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out").causes[0].cause == "HTTP 503"
    pages["/5.jpg"] = sound
    asked.clear()
    assert build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out").added == 1
    assert asked == ["/5.jpg"]


def test_a_run_ends_at_its_limit_and_the_next_one_goes_on(gallery, tmp_path, encode):
    _, pages, asked, table = gallery
    limit = sum(len(pages[f"/{number}.jpg"][2]) for number in range(4))
    options = SourceOptions(limits=DownloadLimits(at_once=1, per_host=1e6, total_bytes=limit))
    report = build(open_source(table, options), encode, tmp_path / "out")
    assert report.added == 4 and len(asked) == 4
    assert [(cause.cause, cause.count) for cause in report.causes] == [("limit of the run", 2)]
    assert build(open_source(table, options), encode, tmp_path / "out").added == 2


def test_a_server_gets_its_requests_one_after_another_and_others_do_not_wait():
    time = Time()
    fetched = []
    download = Downloader(DownloadLimits(per_host=2.0), fetched.append, time, time.sleep)
    download._get = lambda url: fetched.append(url) or b""
    for url in ["http://a.example/1", "http://A.example/2", "http://b.example/1", "https://a.example:81/3"]:
        download(url)
    assert time.slept == [0.0, 0.5, 0.0, 0.5]


def test_a_server_that_asks_for_patience_gets_it():
    time = Time()
    answers = [BusyServerError("later", "HTTP 429", 3.0), b"x", BusyServerError("later", "HTTP 429", 9999.0), b"y"]

    def get(url):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    download = Downloader(DownloadLimits(per_host=10.0), get, time, time.sleep)
    for expected in (0.0, 3.0, 0.1, 10.0):  # never longer than ten seconds
        try:
            download("http://a.example/1")
        except TemporaryImageError:
            pass
        assert time.slept[-1] == pytest.approx(expected)


def test_the_limit_counts_what_was_fetched():
    download = Downloader(DownloadLimits(total_bytes=10, per_host=1e9), lambda url: b"x" * 6)
    assert len(download("http://a.example/1") + download("http://a.example/2")) == 12
    with pytest.raises(TemporaryImageError, match="limit of 1e-08 GB is reached. The same command goes on"):
        download("http://a.example/3")


def test_addresses_that_are_allowed_later_are_asked_then(gallery, tmp_path, encode, monkeypatch):
    _, _, asked, table = gallery
    monkeypatch.delenv("FROMAGE_PRIVATE_ADDRESSES")
    with pytest.raises(StoreError, match="None of the 6 pictures can be read.*FROMAGE_PRIVATE_ADDRESSES=1 allows it"):
        build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out")
    assert asked == []
    monkeypatch.setenv("FROMAGE_PRIVATE_ADDRESSES", "1")
    assert build(open_source(table, ONE_AT_A_TIME), encode, tmp_path / "out").added == 6
