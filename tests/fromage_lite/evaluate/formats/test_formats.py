"""Stand-ins of the published files, with their names, keys and order."""

import json

import pytest

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.captions import read_captions
from fromage_lite.evaluate.formats.dialogues import read_visdial
from fromage_lite.evaluate.formats.pictures import PictureRef
from fromage_lite.evaluate.formats.questions import read_questions
from fromage_lite.evaluate.formats.stories import read_vist


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


def test_coco(write, tmp_path):
    file = write(
        "captions_val2014.json",
        {
            "info": {"description": "COCO 2014 Dataset"},
            "images": [
                {"license": 3, "file_name": "COCO_val2014_000000391895.jpg", "id": 391895, "coco_url": "http://x/1"},
                {"license": 3, "file_name": "COCO_val2014_000000000042.jpg", "id": 42},
                {"license": 3, "file_name": "COCO_val2014_000000000043.jpg", "id": 43},
            ],
            "annotations": [
                {"image_id": 391895, "id": 770337, "caption": "A man with a red helmet on a small moped. "},
                {"image_id": 42, "id": 1, "caption": "A shoe rack\nwith some shoes."},
                {"image_id": 391895, "id": 771687, "caption": "Man riding a motor bike."},
            ],
        },
    )
    first, second = read_captions(file)
    assert first.captions == ("A man with a red helmet on a small moped.", "Man riding a motor bike.")
    assert (first.picture.id, first.picture.url) == ("391895", "http://x/1")
    assert second.captions == ("A shoe rack with some shoes.",)
    (tmp_path / "COCO_val2014_000000000042.jpg").touch()
    assert second.picture.find([tmp_path]) == tmp_path / "COCO_val2014_000000000042.jpg"
    assert first.picture.find([tmp_path]) is None


def test_nocaps_has_domains(write):
    image = {"id": 0, "open_images_id": "0013ea2087020901", "file_name": "0013ea2087020901.jpg", "domain": "in-domain"}
    annotation = {"image_id": 0, "id": 0, "caption": "A baby is standing in front of a house."}
    (only,) = read_captions(write("nocaps_val_4500_captions.json", {"images": [image], "annotations": [annotation]}))
    assert only.domain == "in-domain" and only.picture.names[0] == "0013ea2087020901.jpg"


def test_karpathys_flickr30k_and_coco_take_one_split(write):
    def image(number, split, **more):
        sentences = [{"tokens": ["two", "men"], "raw": f"Two men, {number}.", "imgid": number, "sentid": number}]
        return {"sentids": [number], "imgid": number, "sentences": sentences, "split": split, **more}

    data = {
        "images": [
            image(0, "train", filename="1.jpg"),
            image(1, "test", filename="2.jpg"),
            image(2, "restval", filename="3.jpg", filepath="val2014"),
        ],
        "dataset": "flickr30k",
    }
    file = write("dataset_flickr30k.json", data)
    assert [entry.captions for entry in read_captions(file)] == [("Two men, 1.",)]
    assert [entry.picture.names for entry in read_captions(file, "train")] == [("1.jpg",), ("val2014/3.jpg", "3.jpg")]


def test_flickr30ks_token_file(write):
    lines = "1000092795.jpg#0\tTwo young guys .\n1000092795.jpg#1\tTwo young men .\n10002456.jpg#0\tSeveral men .\n"
    first, second = read_captions(write("results_20130124.token", lines))
    assert first.captions == ("Two young guys .", "Two young men .") and second.picture.names == ("10002456.jpg",)


@pytest.mark.parametrize("heading", ["", "caption\timage\n"])
def test_cc3ms_tables(write, heading):
    lines = heading + "author : a life in photography\thttps://example.org/a.jpg\na dog on the grass\tpictures/b.jpg\n"
    first, second = read_captions(write("Validation_GCC-1.1.0-Validation.tsv", lines))
    assert first.picture.url == "https://example.org/a.jpg" and first.captions == ("author : a life in photography",)
    assert second.picture.names == ("pictures/b.jpg",)


def story(number, texts, order=None):
    return [
        [
            {
                "original_text": text.upper(),
                "album_id": "72157605930515606",
                "photo_flickr_id": f"{number}{place}",
                "setting": "first-2-pick-and-tell",
                "worker_id": "FJROI8NWDRIPAM1",
                "story_id": str(number),
                "tier": "story-in-sequence",
                "worker_arranged_photo_order": place,
                "text": text,
                "storylet_id": f"22753{place}",
            }
        ]
        for place, text in (order or enumerate(texts))
    ]


def test_vist_counts_stories_that_are_not_whole(write):
    texts = [f"sentence {number} ." for number in range(5)]
    images = [
        {"id": "70", "url_o": "https://example.org/70_o.jpg"},
        {"id": "71", "url_m": "https://example.org/71.jpg"},
    ]
    mixed = [(4, "e"), (0, "a"), (1, "b"), (3, "d"), (2, "c")]
    annotations = story(7, texts) + story(8, texts[:4]) + story(9, [], mixed)
    found = read_vist(write("val.story-in-sequence.json", {"images": images, "annotations": annotations}))
    assert [(entry.id, entry.captions) for entry in found.stories] == [("7", tuple(texts)), ("9", tuple("abcde"))]
    assert found.incomplete == 1
    assert [picture.id for picture in found.stories[0].pictures] == ["70", "71", "72", "73", "74"]
    assert found.stories[0].pictures[0].url == "https://example.org/70_o.jpg"
    assert found.stories[0].pictures[1].url == "https://example.org/71.jpg"


@pytest.fixture
def visdial(write):
    rounds = [{"question": number % 2, "answer": 2, "gt_index": 1, "answer_options": [0, 2, 1]} for number in range(3)]
    dialogs = [{"image_id": 185565, "caption": "a man on skis .", "dialog": rounds}]
    data = {"dialogs": dialogs, "questions": ["is it sunny", "any people"], "answers": ["no", "3", "yes"]}
    return write("visdial_1.0_val.json", {"version": "1.0", "split": "val2018", "data": data})


def test_visdial_with_dense_annotations(write, visdial, tmp_path):
    dense = write("dense.json", [{"image_id": 185565, "round_id": 3, "gt_relevance": [0.2, 1.0, 0]}])
    (dialogue,) = read_visdial(visdial, dense)
    assert dialogue.caption == "a man on skis ." and len(dialogue.rounds) == 3
    first, _, last = dialogue.rounds
    assert (first.question, first.answer, first.options, first.right) == ("is it sunny", "yes", ("no", "yes", "3"), 1)
    assert first.relevance is None and last.relevance == (0.2, 1.0, 0.0)  # rounds count from 1 there
    (tmp_path / "VisualDialog_val2018_000000185565.jpg").touch()
    assert dialogue.picture.find([tmp_path]) is not None


def test_dense_annotations_of_other_dialogues_are_refused(write, visdial):
    for entry in (
        {"image_id": 1, "round_id": 1},
        {"image_id": 185565, "round_id": 4},
        {"image_id": 185565, "round_id": 0},
    ):
        with pytest.raises(DataError, match=r"\[0\]"):
            read_visdial(visdial, write("dense.json", [{**entry, "gt_relevance": [0, 1, 0]}]))
    with pytest.raises(DataError, match="2 numbers for 3 answers"):
        read_visdial(visdial, write("d.json", [{"image_id": 185565, "round_id": 1, "gt_relevance": [0, 1]}]))


def test_vqa_v2_and_ok_vqa(write):
    write(
        "v2_mscoco_val2014_annotations.json",
        {
            "annotations": [
                {
                    "question_type": "what is this",
                    "multiple_choice_answer": "net",
                    "answers": [{"answer": a, "answer_id": n} for n, a in enumerate(["net", "net", "netting"], 1)],
                    "image_id": 458752,
                    "answer_type": "other",
                    "question_id": 458752000,
                }
            ]
        },
    )
    asked = [{"image_id": 458752, "question": "What is this photo taken through?", "question_id": 458752000}]
    (only,) = read_questions(write("v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked}))
    assert (only.id, only.kind, only.best_answer) == ("458752000", "other", "net")
    assert only.answers == ("net", "net", "netting")
    assert only.picture.names[0] == "COCO_val2014_000000458752.jpg"


def test_gqa(write):
    question = {
        "semantic": [],
        "question": "Is it overcast?",
        "imageId": "n161313",
        "answer": "no",
        "types": {"detailed": "weatherVerify", "semantic": "global", "structural": "verify"},
        "fullAnswer": "No, it is clear.",
    }
    unanswered = {"question": "Who is tall?", "imageId": "n1"}
    found = read_questions(write("testdev_balanced_questions.json", {"201307251": question, "2": unanswered}))
    assert [(q.id, q.text, q.answers, q.kind) for q in found] == [("201307251", "Is it overcast?", ("no",), "verify")]


@pytest.mark.parametrize(
    "data",
    [
        "not json",
        "[" * 100_000,
        "[]",
        "{}",
        {"images": 3, "annotations": []},
        {"images": [], "annotations": [{"image_id": {}, "caption": "x"}]},
        {"images": [], "annotations": [{"image_id": 1, "caption": 5}]},
        {"images": [{"id": 1}], "annotations": [{"image_id": True, "caption": "a"}]},
        {"data": {"dialogs": [], "questions": [], "answers": []}},
        {"questions": [{"question_id": 1}], "annotations": [{"question_id": 1, "multiple_choice_answer": "a"}]},
        {"annotations": [[]], "images": []},
        {"5": {"answer": "no"}},
    ],
)
@pytest.mark.parametrize("read", [read_captions, read_visdial, read_questions, read_vist])
def test_files_of_another_form_are_refused_with_the_place(write, read, data):
    file = write("captions_questions.json", data)
    with pytest.raises(DataError) as error:
        read(file)
    assert str(file.parent) in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("option", [5, -1, 1.5, True, "x"])
def test_an_answer_that_is_not_in_the_list_is_refused(write, option):
    rounds = [{"question": 0, "answer": 0, "gt_index": 0, "answer_options": [option]}]
    data = {"dialogs": [{"image_id": 1, "caption": "a", "dialog": rounds}], "questions": ["q"], "answers": ["a"]}
    with pytest.raises(DataError, match=r"data.dialogs\[0\].dialog\[0\].answer_options\[0\]"):
        read_visdial(write("visdial_1.0_val.json", {"data": data}))


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.jpg", "a/../../secret.jpg", "\0.jpg", "", "x" * 5000])
def test_a_files_name_never_leads_out_of_the_folder(tmp_path, name):
    (tmp_path / "secret.jpg").touch()
    inside = tmp_path / "pictures"
    (inside / "a").mkdir(parents=True)
    assert PictureRef(name, (name,)).find([inside]) is None


def test_no_special_token_can_be_smuggled_in(write):
    image, caption = {"id": 1, "file_name": "1.jpg"}, {"image_id": 1, "caption": "a \x02[RET]\x03 cat"}
    (only,) = read_captions(write("c.json", {"images": [image], "annotations": [caption]}))
    assert only.captions == ("a [RET] cat",)


def test_only_a_file_of_several_splits_names_the_one_without_captions(write):
    plain = write("captions.json", {"images": [{"id": 1}], "annotations": []})
    with pytest.raises(DataError, match=r"has no picture with a caption\."):
        read_captions(plain)
    image = {"imgid": 1, "filename": "1.jpg", "split": "train", "sentences": [{"raw": "a cat"}]}
    with pytest.raises(DataError, match="with a caption in the split val"):
        read_captions(write("dataset_coco.json", {"images": [image]}), "val")


def test_missing_files(tmp_path):
    for read in (read_captions, read_visdial, read_questions, read_vist):
        with pytest.raises(DataError, match="There is no file"):
            read(tmp_path / "questions.json")
    for name in ("x.token", "x.tsv"):
        with pytest.raises(DataError, match="There is no file"):
            read_captions(tmp_path / name)
