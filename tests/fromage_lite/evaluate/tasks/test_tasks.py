"""The tasks on a random model: each against the same thing done one by one, in the plainest way."""

import dataclasses

import numpy as np
import pytest
import torch

from fromage_lite.errors import ConfigError, DataError, MessageError
from fromage_lite.evaluate.formats.captions import Captioned
from fromage_lite.evaluate.formats.dialogues import PictureDialogue, Round
from fromage_lite.evaluate.formats.pictures import PictureRef
from fromage_lite.evaluate.formats.questions import PictureQuestion
from fromage_lite.evaluate.formats.stories import Stories, Story
from fromage_lite.evaluate.ranking import rank_of
from fromage_lite.evaluate.tasks.answers import evaluate_answers
from fromage_lite.evaluate.tasks.captions import evaluate_captions, write_captions
from fromage_lite.evaluate.tasks.dialogues import dialogue_text, evaluate_dialogues
from fromage_lite.evaluate.tasks.queries import query_embeds
from fromage_lite.evaluate.tasks.questions import evaluate_questions
from fromage_lite.evaluate.tasks.retrieval import evaluate_retrieval
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.evaluate.tasks.stories import evaluate_stories, story_prompt
from tests.fromage_lite.model.test_decoding import naive
from tests.fromage_lite.model.test_likelihood import separately

REFS = [PictureRef(str(number)) for number in range(4)]
GONE = PictureRef("gone")


def test_pictures_are_seen_once_and_missing_ones_counted(tiny_model, folder, tmp_path, monkeypatch):
    cache = tmp_path / "kept" / "features.npz"
    seen = SeenPictures(tiny_model, [folder], cache)
    seen.see([*REFS, GONE, PictureRef("broken")])
    assert (seen.missing, seen.unreadable) == ({"gone"}, {"broken"})
    assert "1" in seen and "gone" not in seen and "broken" not in seen

    monkeypatch.setattr(type(tiny_model), "image_features", None)  # not called again
    again = SeenPictures(tiny_model, [folder], cache)
    again.see(REFS)
    assert torch.equal(again.features(["2", "0"]), seen.features(["2", "0"]))


def test_a_damaged_cache_is_made_anew(tiny_model, folder, tmp_path):
    cache = tmp_path / "features.npz"
    cache.write_bytes(b"PK no zip")
    seen = SeenPictures(tiny_model, [folder], cache)
    seen.see(REFS)
    assert seen.features(["0"]).shape == (1, 24)


def test_a_folder_without_any_of_the_pictures_is_an_error(tiny_model, tmp_path):
    with pytest.raises(DataError, match="None of the data set's pictures"):
        SeenPictures(tiny_model, [tmp_path]).see([GONE])


def test_pictures_that_can_all_not_be_opened_are_an_error(seen):
    with pytest.raises(DataError, match="None of the data set's pictures can be opened"):
        seen.see([PictureRef("broken")])


def test_queries_in_batches_are_those_one_by_one(tiny_model, seen):
    seen.see(REFS)
    prompts = [
        ["a cat"],
        ["the dog and ", seen.segment("1"), " a red cat on the grass"],
        ["x"],
        [seen.segment("0"), "b"],
    ]
    one_by_one = torch.cat([tiny_model.query_embeds(prompt) for prompt in prompts]).numpy()
    assert np.allclose(query_embeds(tiny_model, prompts, batch_size=3), one_by_one, atol=2e-3)


def test_a_text_longer_than_the_models_positions_is_refused(tiny_model):
    with pytest.raises(MessageError, match="128 positions"):
        query_embeds(tiny_model, [["a cat"], ["a cat " * 100]])


def test_captions_are_greedy_decoding_up_to_a_full_stop(tiny_model, seen):
    seen.see(REFS)
    for id, caption in zip("01", write_captions(tiny_model, seen, ["0", "1"], max_new_tokens=12), strict=True):
        embeds = tiny_model.prompt_embeds([seen.segment(id), ""])
        ids = naive(tiny_model, embeds, 12, [tiny_model.language.ret_token_id])
        ends = [place for place, token in enumerate(ids) if token in tiny_model.language.eos_ids]
        text = tiny_model.language.decode(ids[: ends[0]] if ends else ids)
        assert caption == text.split("\n")[0].split(".")[0].strip()


def test_caption_figures_by_domain(tiny_model, seen):
    data = [Captioned(ref, ("a cat", "the cat"), "near-domain") for ref in (*REFS[:2], GONE)]
    result = evaluate_captions(tiny_model, seen, data, beams=(1, 2), max_new_tokens=5)
    assert result.counts == {"evaluated": 2, "missing": 1}
    names = {"greedy/cider_d", "beam_2/bleu_4", "greedy/near-domain/rouge_l", "greedy/clip_score"}
    assert names <= set(result.figures)


def test_retrieval_ranks_by_hand(tiny_model, seen):
    data = [Captioned(ref, (f"a {word}", f"the {word}")) for ref, word in zip(REFS, "abcd", strict=True)]
    result = evaluate_retrieval(tiny_model, seen, data)
    images = tiny_model.image_embeds(seen.features(["0", "1", "2", "3"])).detach().numpy()
    right = 0
    for number, entry in enumerate(data):
        for caption in entry.captions:
            scores = images @ tiny_model.query_embeds([caption])[0].numpy()
            right += int(scores.argmax()) == number
    assert result.figures["text_to_image/recall@1"].value == pytest.approx(right / 8)
    assert result.figures["text_tower/image_to_text/median_rank"].n == 4
    assert result.counts == {"pictures": 4, "captions": 8, "missing": 0}


def story(number, pictures):
    captions = tuple(f"sentence {number} {place}" for place in range(5))
    return Story(str(number), captions, tuple(pictures))


def test_stories_rank_the_last_picture_without_those_seen_before(tiny_model, seen):
    pictures = [REFS[0], REFS[1], REFS[0], REFS[1], REFS[2]]
    data = Stories((story(1, pictures), story(2, [*REFS, GONE]), story(3, [*pictures[:4], REFS[3]])), 4)
    result = evaluate_stories(tiny_model, seen, data)
    assert (result.counts["evaluated"], result.counts["missing_pictures"]) == (2, 1)
    assert (result.counts["incomplete_stories"], result.counts["gallery"]) == (4, 4)
    # Pictures 0 and 1 were seen: 2 and 3 alone are left to be told apart.
    images = tiny_model.image_embeds(seen.features(["2", "3"])).detach().numpy()
    for context in ("1_caption", "5_captions", "5_captions_4_images"):
        right = []
        for entry, target in ((data.stories[0], 0), (data.stories[2], 1)):
            query = tiny_model.query_embeds(story_prompt(entry, context, seen))[0].numpy()
            right.append(int((images @ query).argmax()) == target)
        assert result.figures[f"{context}/recall@1"].value == np.mean(right)
        assert result.figures[f"{context}/recall@5"].value == 1


def test_stories_that_all_lack_a_picture_are_an_error(tiny_model, seen):
    with pytest.raises(DataError, match="No story has all of its pictures"):
        evaluate_stories(tiny_model, seen, Stories((story(1, [*REFS, GONE]),), 0))


def test_a_storys_prompt_has_its_pictures_between_the_captions(seen):
    seen.see(REFS)
    prompt = story_prompt(story(1, [*REFS, REFS[0]]), "5_captions_4_images", seen)
    assert [part if isinstance(part, str) else "P" for part in prompt] == [
        "sentence 1 0", "P", " sentence 1 1", "P", " sentence 1 2", "P", " sentence 1 3", "P", " sentence 1 4"
    ]  # fmt: skip
    assert story_prompt(story(1, REFS), "1_caption", seen) == ["sentence 1 4"]


def test_stories_as_the_originals_script_has_them(tiny_model, seen):
    """S10: a beginning of text before every caption, and nothing round the pictures."""
    pictures = [REFS[0], REFS[1], REFS[0], REFS[1], REFS[2]]
    data = Stories((story(1, pictures), story(2, [*REFS, GONE])), 0)  # the second adds picture 3 to choose from
    result = evaluate_stories(tiny_model, seen, data, bos_each=True)
    language, parts = tiny_model.language, []
    for number in range(5):
        ids = [*language.beginning, *language.tokenize(f"sentence 1 {number}")]
        parts.append(tiny_model.token_embeds(ids))
        if number < 4:
            parts.append(tiny_model.visual_embeds(seen.features([str(number % 2)])).to(parts[0]))
    parts.append(tiny_model.token_embeds([language.ret_token_id]))
    state = language.forward(torch.cat(parts, dim=1)).layers[0][:, -1]
    query = tiny_model.bridge.query_embeds([state])[0].detach().numpy()
    scores = tiny_model.image_embeds(seen.features(["2", "3"])).detach().numpy() @ query
    assert result.figures["5_captions_4_images/recall@1"].value == (scores[0] > scores[1])


OPTIONS = ("yes", "no, it is not", "a red cat", "two")


@pytest.fixture
def dialogue():
    rounds = (
        Round("is it a cat", "yes", OPTIONS, 0, (1.0, 0.0, 0.5, 0.0)),
        Round("how many are there", "two", OPTIONS, 3),
    )
    return PictureDialogue(REFS[0], "a picture", rounds)


def test_answers_rank_by_the_likelihood_of_the_whole_answer(tiny_model, seen, dialogue):
    result = evaluate_answers(tiny_model, seen, [dialogue], batch_size=2)
    picture, found = seen.segment("0"), []
    prompts = [
        ["Q: ", picture, " is it a cat?\nA:"],
        ["Q: ", picture, " is it a cat?\nA:", " yes", "\nQ: how many are there?\nA:"],
    ]
    for prompt, turn in zip(prompts, dialogue.rounds, strict=True):
        context = tiny_model.prompt_embeds(prompt)
        answers = [tiny_model.language.tokenize(f" {option}\n") for option in OPTIONS]
        scores = np.array([separately(tiny_model, context, ids) for ids in answers])
        found.append(rank_of(scores, turn.right))
    assert result.figures["mean_rank"].value == np.mean(found)
    assert result.figures["mrr"].value == pytest.approx(np.mean([1 / rank for rank in found]))
    assert result.figures["ndcg"].n == 1 and result.counts["rounds"] == 2


def test_answers_as_the_originals_script_scores_them(tiny_model, seen, dialogue):
    """U7: logits unshifted, summed from the answer's own beginning of text on."""
    result = evaluate_answers(tiny_model, seen, [dialogue], as_original=True)
    language, found = tiny_model.language, []
    texts = ["Q: is it a cat?\nA: ", "Q: is it a cat?\nA: yes\nQ: how many are there?\nA: "]
    for text, turn in zip(texts, dialogue.rounds, strict=True):
        visual = tiny_model.visual_embeds(seen.features(["0"]))
        words = tiny_model.token_embeds([*language.beginning, *language.tokenize(text)])
        context = torch.cat([visual.to(words), words], dim=1)
        answers = [[*language.beginning, *language.tokenize(option)] for option in OPTIONS]
        scores = np.array([separately(tiny_model, context, ids, shifted=False) for ids in answers])
        found.append(rank_of(scores, turn.right))
    assert result.figures["mean_rank"].value == np.mean(found)


def test_a_dialogue_in_words(dialogue):
    assert dialogue_text(dialogue, 0, "first") == "a picture."
    assert dialogue_text(dialogue, 1, "first") == "a picture. Q: is it a cat? A: yes."
    assert dialogue_text(dialogue, 1, "last") == "Q: is it a cat? A: yes. a picture."
    assert dialogue_text(dialogue, None, None) == "Q: is it a cat? A: yes. Q: how many are there? A: two."


def test_pictures_by_dialogue(tiny_model, seen, dialogue):
    others = [PictureDialogue(ref, f"caption {ref.id}", dialogue.rounds) for ref in (REFS[1], REFS[2], GONE)]
    result = evaluate_dialogues(tiny_model, seen, [dialogue, *others], rounds=(0, 2))
    images = tiny_model.image_embeds(seen.features(["0", "1", "2"])).detach().numpy()
    texts = ["a picture.", "caption 1.", "caption 2."]
    right = [
        int((images @ tiny_model.query_embeds([text])[0].numpy()).argmax()) == number
        for number, text in enumerate(texts)
    ]
    assert result.figures["rounds_0/recall@1"].value == pytest.approx(np.mean(right))
    assert {"caption_last/rounds_2/recall@1", "text_tower/rounds_2/median_rank", "as_original/recall@1"} <= set(
        result.figures
    )
    assert result.counts == {"dialogues": 3, "missing": 1}


def test_questions_are_answered_greedily_in_the_models_template(tiny_model, seen):
    asked = [PictureQuestion(str(n), REFS[n], f"what is it {n}?", ("a cat",), "other") for n in range(2)]
    result = evaluate_questions(tiny_model, seen, asked, shots=(0,), max_new_tokens=6)
    for sample in result.samples:
        id = sample.shown[0]
        embeds = tiny_model.prompt_embeds(["Q: ", seen.segment(id), f" what is it {id}?\nA:"])
        ids = naive(tiny_model, embeds, 6, [tiny_model.language.ret_token_id])
        ends = [place for place, token in enumerate(ids) if token in tiny_model.language.eos_ids]
        text = tiny_model.language.decode(ids[: ends[0]] if ends else ids)
        assert sample.said == text.split("Q:")[0].split("\n")[0].strip().rstrip(".").strip()
    assert set(result.figures) == {"shots_0/accuracy", "shots_0/other/accuracy"}


def test_examples_stand_before_the_question_and_are_of_other_pictures(tiny_model, seen, monkeypatch):
    read = []
    plain = type(tiny_model).prompt_embeds

    def note(self, segments, add_bos=True):
        read.append("".join(part if isinstance(part, str) else "P" for part in segments))
        return plain(self, segments, add_bos)

    monkeypatch.setattr(type(tiny_model), "prompt_embeds", note)
    asked = [PictureQuestion("9", REFS[0], "what is it?", ("a cat",))]
    known = [PictureQuestion(str(n), REFS[n], f"no {n}?", ("yes",)) for n in range(3)]
    result = evaluate_questions(tiny_model, seen, asked, known, shots=(0, 2), max_new_tokens=3)
    assert read[0] == "Q: P what is it?\nA:"
    assert sorted(read[1].split("\n")[::2]) == ["Q: P no 1?", "Q: P no 2?", "Q: P what is it?"]
    assert read[1].count("A: yes\n") == 2 and result.counts["shortened"] == 0


def test_examples_that_do_not_fit_are_left_out_and_counted(tiny_model, seen):
    asked = [PictureQuestion("9", REFS[0], "what is it?", ("a cat",))]
    known = [PictureQuestion(str(n), REFS[n], "a long question " * 6, ("yes",)) for n in (1, 2, 3)]
    result = evaluate_questions(tiny_model, seen, asked, known, shots=(3,), max_new_tokens=3)
    assert result.counts["shortened"] == 1


def test_a_bridge_without_retrieval_says_so(tiny_model, seen):
    tiny_model.config = dataclasses.replace(tiny_model.config, has_retrieval=False)
    with pytest.raises(ConfigError, match="not trained to find pictures"):
        evaluate_retrieval(tiny_model, seen, [Captioned(REFS[0], ("a cat",))])
