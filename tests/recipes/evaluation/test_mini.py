import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from recipes.mini.evaluation.attention import (
    AlignedSong,
    align_song,
    alignment_figures,
    true_characters,
)
from recipes.mini.evaluation.bits import bits_per_level
from recipes.mini.evaluation.codec import QUICK, evaluate_codec
from recipes.mini.evaluation.generated_songs import Asked, DrawSettings, draw_songs
from recipes.mini.evaluation.ground_truth import composed_song
from recipes.mini.evaluation.listening.label_adherence import (
    Verdicts,
    is_held_out,
    label_adherence,
    swap_figures,
    swapped,
)
from recipes.mini.evaluation.mini import evaluate_mini
from recipes.mini.evaluation.mini_settings import PARTS, quick_settings
from recipes.mini.evaluation.process_pool import loaded_model, process_pool
from recipes.mini.evaluation.seeds import Seeds
from recipes.mini.synth import ARTISTS, GENRES

pytestmark = pytest.mark.nightly("recipe")

RATE_HZ = 16_000


def silent(line):
    pass


@pytest.fixture(scope="module")
def songs():
    return [composed_song(seed, duration_sec=9.0, sample_rate_hz=RATE_HZ) for seed in range(6)]


def test_everything_is_measured_with_json_at_the_end(tiny_model_dir):
    with process_pool(1) as pool:
        evaluation = evaluate_mini(tiny_model_dir, quick_settings(), pool, silent)
    figures = json.loads(json.dumps(evaluation.figures, allow_nan=False))
    assert set(PARTS) <= set(figures)
    assert len(figures["names_unknown_to_the_model"]) == len(GENRES) + len(ARTISTS)
    for kind in ("genre", "artist"):
        figure = figures["obedience"][kind]
        assert figure["number"] == 8
        assert sum(map(sum, figure["confusion"])) == 8
        assert set(figure["ceilings"]) == {"originals", "reconstructions", "upsampled"}
    assert set(figures["bits"]["top"]["rise"]) == {"genre", "artist", "lyrics"}
    assert "drawn-00" in evaluation.sounds
    assert {"valley_db", "dropouts_per_10_sec"} <= set(figures["sound"]["drawn"])
    wanted = {row["what"]: row for row in figures["criteria"]}
    assert len(wanted) == 3 + 3 + 1 + 2 + 2
    assert not wanted["genre as asked"]["reached"]


def test_parts_can_be_measured_alone(tiny_model_dir):
    settings = replace(quick_settings(), parts=("alignment",))
    with process_pool(1) as pool:
        figures = evaluate_mini(tiny_model_dir, settings, pool, silent).figures
    assert set(PARTS) & set(figures) == {"alignment"}


def test_the_same_number_gives_the_same_song_in_any_company(tiny_model_dir):
    asked = [Asked(genre=n, artist=n, lyrics="la la", sample=n) for n in range(3)]
    settings = DrawSettings(duration_sec=2.0, seed=1)
    with process_pool(1) as pool:
        together = draw_songs(tiny_model_dir, asked, settings, pool, silent)
        alone = draw_songs(tiny_model_dir, asked[2:], settings, pool, silent)
    assert torch.equal(together.top_codes[2:], alone.top_codes)
    assert not torch.equal(together.top_codes[0], together.top_codes[2])


def test_true_top_codes_stay_what_they_are_when_upsampled(tiny_model_dir):
    asked = [Asked(genre=0, artist=0, lyrics="", sample=n) for n in range(2)]
    top_codes = torch.arange(250).repeat(2, 1) % 200
    settings = DrawSettings(duration_sec=1.0, seed=1)
    with process_pool(1) as pool:
        drawn = draw_songs(tiny_model_dir, asked, settings, pool, silent, top_codes)
    assert torch.equal(drawn.top_codes, top_codes)
    assert drawn.audio.shape == (2, 250 * 256)


def test_a_codec_is_measured_on_songs_it_has_not_seen(tiny_model_dir, songs):
    vqvae = loaded_model(tiny_model_dir, "cpu").vqvae
    figures = evaluate_codec(vqvae, songs[:4], songs[4:], QUICK, silent)
    assert figures["unheard_songs"] == 2
    assert set(figures["levels"]) == {"top", "middle", "bottom"}
    assert not figures["gate"]["passed"]
    assert figures["probes"]["top"]["vowel"]["number"] > 5
    assert figures["probes"]["top"]["pitch"]["number"] > 5
    assert {"valley_db", "mel_distance_db", "noise_to_mask_db"} <= set(figures["levels"]["top"])


def test_bits_agree_with_the_loss_that_the_prior_itself_gives(tiny_model_dir, songs, monkeypatch):
    model = loaded_model(tiny_model_dir, "cpu")
    prior, losses = model.priors[0], []
    forward = type(prior).forward

    def watched(self, codes, *arguments, **options):
        output = forward(self, codes, *arguments, **options)
        if self is prior:
            losses.append((len(codes), output.music_loss.item()))
        return output

    monkeypatch.setattr(type(prior), "forward", watched)
    figures = bits_per_level(model, songs[:2], 0, silent)["top"]
    # Four windows, two for each song, told the truth in one batch.
    assert losses[0][0] == 4
    assert figures["bits_per_token"]["mean"] == pytest.approx(losses[0][1], abs=1e-3)
    assert figures["code_bits"] == 8.0


def test_the_character_of_a_token_is_the_one_sung_in_its_middle():
    song = composed_song(3, duration_sec=4.0, sample_rate_hz=RATE_HZ, lyrics="la mi to")
    truth = true_characters(song, 250, 62.5)
    for token in (10, 60, 120):
        index = truth[token]
        if index >= 0:
            second = (token + 0.5) / 62.5
            assert song.character_start_sec[index] <= second < song.character_end_sec[index]
    assert (truth >= 0).sum() > 20
    assert set(np.unique(truth)) <= {-1, *range(len("la mi to"))}


def aligned(shift):
    truth = np.repeat(np.arange(20), 5)
    attention = np.zeros((100, 24), np.float32)
    attention[np.arange(100), truth + shift] = 1.0
    return AlignedSong(attention, truth)


def test_attention_beside_the_truth_counts_up_to_one_character():
    assert alignment_figures([aligned(0)])["share"] == 1.0
    assert alignment_figures([aligned(1)])["reached"]
    figures = alignment_figures([aligned(2)])
    assert figures["share"] == 0.0
    assert not figures["reached"]


def test_shuffled_attention_is_at_chance():
    figures = alignment_figures([aligned(0)] * 20)
    assert figures["shuffled"] < 0.25
    assert figures["any_character"] == pytest.approx(3 / 24, abs=1e-3)


def test_a_song_without_words_is_not_aligned(tiny_model_dir):
    song = composed_song(1, duration_sec=4.0, sample_rate_hz=RATE_HZ, lyrics="")
    assert align_song(loaded_model(tiny_model_dir, "cpu"), song) is None


def obedient(asked):
    return Verdicts([s.genre for s in asked], [s.artist for s in asked], [[0]] * len(asked))


def all_pairs():
    return [
        Asked(genre=g, artist=a, lyrics=f"la {GENRES[g]}", sample=g * 8 + a)
        for g in range(8)
        for a in range(8)
    ]


def test_perfect_obedience_is_told_from_shuffled_labels_and_by_kind_of_pair():
    asked = all_pairs()
    pairs = [(song.genre, song.artist) for song in asked]
    figures = label_adherence(asked, obedient(asked), pairs, {"originals": obedient(asked)})
    for kind in ("genre", "artist"):
        assert figures[kind]["share"] == 1.0
        assert figures[kind]["reached"]
        assert figures[kind]["pairs_kept_from_training"]["number"] == 8
        assert figures[kind]["shuffled_labels"]["mean"] == pytest.approx(0.125, abs=0.01)
    assert sum(is_held_out(*pair) for pair in pairs) == 8


def test_a_model_that_follows_a_changed_genre_is_told_from_one_that_does_not():
    before = all_pairs()
    after = swapped(before, 0)["genre"]
    assert all(old.genre != new.genre for old, new in zip(before, after, strict=True))
    assert [song.artist for song in after] == [song.artist for song in before]
    followed = swap_figures("genre", before, after, obedient(before), obedient(after))
    assert followed["to_the_new"]["share"] == 1.0
    assert followed["new_before"]["share"] == 0.0
    assert followed["other_kept"]["share"] == 1.0
    stubborn = swap_figures("genre", before, after, obedient(before), obedient(before))
    assert stubborn["to_the_new"]["share"] == 0.0
    assert stubborn["stayed_with_the_old"]["share"] == 1.0


def test_other_words_are_always_others():
    before = all_pairs()
    after = swapped(before, 0)["lyrics"]
    assert all(old.lyrics != new.lyrics for old, new in zip(before, after, strict=True))


def test_seeds_of_different_purposes_and_trials_never_meet():
    used = [
        seed
        for offset in (0, 1)
        for kind in ("judge_song", "unheard_song", "ceiling_song", "asked_song")
        for seed in (getattr(Seeds(offset), kind)(index) for index in range(1000))
    ]
    assert len(set(used)) == len(used)
    # `recipes.mini.synth` numbers its songs from a million times its seed on.
    assert min(used) > 10**12
