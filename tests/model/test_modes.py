"""Ways to sing: from nothing, from sound, from codes; on small models of the original's shape."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jukebox_core.errors import AudioError, LabelError, SongError
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.parity.golden import expected, labels_of_both_songs, model_with, top_seconds

TOP = (Level.TOP,)
TOKENS_PER_TOP = (1, 4, 16)
CONTEXT = 64
WHOLE = 70  # top tokens: more than one window at every level
SHORT = 10  # top tokens: less than the middle level's context, which takes 16


def model():
    return model_with("prior_5b_lyrics")


def labels():
    return labels_of_both_songs(model().tokenizer)


def other_labels():
    return model().tokenizer("Céline Dion", "Classic Pop", "other words " * 9)


def options(**changes):
    return {"seed": 7, "song_duration_sec": 62.0, **changes}


@cache
def song_of(num_top_tokens, levels=COARSE_TO_FINE):
    """Two rows of codes, drawn from nothing."""
    duration_sec = top_seconds(num_top_tokens)
    return model().ancestral_sample(labels(), duration_sec=duration_sec, **options(levels=levels))


def lengths(codes):
    return [stream.shape[1] for stream in codes]


def assert_equal(codes, wanted):
    assert lengths(codes) == lengths(wanted)
    assert all(torch.equal(stream, want) for stream, want in zip(codes, wanted, strict=True))


# The same song on every way ------------------------------------------------------------------


@pytest.mark.parametrize("num_top_tokens", [WHOLE, SHORT])
def test_an_upsampled_draft_is_the_song_that_would_have_been_drawn_at_once(num_top_tokens):
    draft = song_of(num_top_tokens, TOP)
    assert_equal(model().upsample(draft, labels(), **options()), song_of(num_top_tokens))


@pytest.mark.parametrize("keep", [1, 5, 63, 69])
def test_a_song_cut_anywhere_goes_on_as_it_went_on_before(keep):
    codes = model().continue_sample(
        song_of(WHOLE),
        labels(),
        duration_sec=top_seconds(WHOLE),
        keep_sec=top_seconds(keep),
        **options(levels=COARSE_TO_FINE[:2]),
    )
    assert_equal(codes, song_of(WHOLE)[:2])


def test_small_steps_inside_a_window_end_at_the_same_song_as_one_large_one():
    codes = song_of(20, TOP)
    for num_top_tokens in (21, 40, CONTEXT):
        codes = model().continue_sample(
            codes, labels(), duration_sec=top_seconds(num_top_tokens), **options(levels=TOP)
        )
    assert_equal(codes, song_of(CONTEXT, TOP))


@pytest.mark.parametrize("row", [0, 1])
def test_a_chosen_row_meets_the_chance_it_had_among_the_others(row):
    codes = model().upsample(song_of(SHORT, TOP), labels().song(row), row=row, **options())
    assert_equal(codes, [stream[row : row + 1] for stream in song_of(SHORT)])


def test_a_take_can_be_drawn_alone():
    """Takes need no seeds of their own: one seed gives each its chance."""
    duration_sec = top_seconds(SHORT)
    song = labels().song(0)
    three = model().ancestral_sample(song, 3, duration_sec=duration_sec, **options(levels=TOP))[0]
    assert len({tuple(row) for row in three.tolist()}) == 3
    for take in range(3):
        (alone,) = model().ancestral_sample(
            song, duration_sec=duration_sec, **options(levels=TOP, first_sample=take)
        )
        assert torch.equal(alone, three[take : take + 1])


def test_takes_of_a_chosen_row_are_numbered_from_it_on():
    draft = song_of(SHORT, TOP)
    variants = {"duration_sec": top_seconds(20), **options(levels=TOP, seed=8)}
    two = model().continue_sample(draft, labels().song(1), 2, row=1, **variants)[0]
    assert torch.equal(two[:, :SHORT], draft[0][1].expand(2, -1))
    assert not torch.equal(two[0], two[1])
    both = model().continue_sample(draft, labels(), **variants)[0]
    assert torch.equal(two[0], both[1])


# What is kept is kept ------------------------------------------------------------------------


@st.composite
def begun(draw):
    """(kept top, middle and bottom tokens, top tokens of the whole, levels to draw)."""
    total = draw(st.integers(1, 24))
    top = draw(st.integers(1, total))
    middle = draw(st.integers(0, 4 * top))
    bottom = draw(st.integers(0, 4 * middle))
    return (top, middle, bottom), total, COARSE_TO_FINE[: draw(st.integers(1, 3))]


@settings(deadline=None, max_examples=12)
@given(begun())
def test_nothing_kept_is_changed_and_exactly_the_missing_codes_are_drawn(song):
    kept_tokens, total, levels = song
    kept = [stream[:, :n] for stream, n in zip(song_of(WHOLE), kept_tokens, strict=True)]
    before = [stream.clone() for stream in kept]
    drawn = Counter()
    codes = model().continue_sample(
        kept,
        other_labels(),
        duration_sec=top_seconds(total),
        **options(
            seed=99, levels=levels, progress=lambda level, done, of: drawn.update({level: 1})
        ),
    )
    assert lengths(codes) == [total * n for n in TOKENS_PER_TOP[: len(levels)]]
    for stream, given_codes, old in zip(codes, kept, before, strict=False):
        assert torch.equal(given_codes, old)
        assert torch.equal(stream[:, : old.shape[1]], old)
    finest = levels[-1]
    assert drawn[finest] == codes[-1].shape[1] - kept_tokens[COARSE_TO_FINE.index(finest)]
    # The top draws a lead-out if the middle level draws anything, and never more than it takes.
    missing = total - kept_tokens[0]
    below = len(levels) > 1 and drawn[Level.MIDDLE] > 0
    assert drawn[Level.TOP] == (max(total, 16) - kept_tokens[0] if below else missing)


def test_a_finished_song_is_given_back_as_it_is():
    assert_equal(model().upsample(song_of(SHORT), labels(), **options()), song_of(SHORT))


def test_the_levels_below_those_asked_for_are_left_aside():
    codes = model().continue_sample(
        song_of(SHORT), labels(), duration_sec=top_seconds(20), **options(levels=TOP)
    )
    assert_equal(codes, song_of(20, TOP))


# Other words below ---------------------------------------------------------------------------


def test_a_draft_can_be_upsampled_with_other_labels():
    draft = song_of(SHORT, TOP)
    same = model().upsample(draft, labels().song(0), row=0, **options())
    other = model().upsample(draft, labels().song(1), row=0, **options())
    assert torch.equal(other[0], same[0])
    assert not torch.equal(other[1], same[1])


def test_several_songs_make_several_versions_of_one_row():
    draft = song_of(SHORT, TOP)
    versions = model().upsample(draft, labels(), row=1, **options(levels=COARSE_TO_FINE[:2]))
    assert torch.equal(versions[0], draft[0][1].expand(2, -1))
    assert versions[1].shape == (2, 4 * SHORT)


def test_one_row_of_codes_is_aligned_with_several_lyrics():
    alignments = model().align(song_of(SHORT)[0][:1], labels(), song_duration_sec=62.0)
    assert [len(alignment) for alignment in alignments] == [SHORT, SHORT]
    characters = [len(song[0].lyric_ids) for song in labels().songs]
    assert [alignment.shape[1] for alignment in alignments] == characters


# Short songs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("num_top_tokens", [1, 3, SHORT, 15, 16])
def test_a_short_song_has_exactly_the_codes_and_the_sound_of_its_duration(num_top_tokens):
    codes = song_of(num_top_tokens)
    assert lengths(codes) == [num_top_tokens * n for n in TOKENS_PER_TOP]
    assert model().decode(codes).shape == (2, num_top_tokens * 128, 1)


def test_a_short_song_is_heard_as_the_beginning_of_a_longer_draft():
    """The lead-out comes after what is heard, and changes nothing in it."""
    assert torch.equal(song_of(SHORT)[0], song_of(16, TOP)[0][:, :SHORT])


# Prompts -------------------------------------------------------------------------------------


def prompt(num_samples):
    return expected()["x"][:, :num_samples]


def test_a_song_from_sound_begins_with_its_codes_at_every_level():
    num_samples = 12 * 128 + 100
    codes = model().primed_sample(
        prompt(num_samples), labels(), duration_sec=top_seconds(20), **options()
    )
    assert lengths(codes) == [20 * n for n in TOKENS_PER_TOP]
    encoded = model().vqvae.encode(prompt(12 * 128))[::-1]
    for stream, beginning in zip(codes, encoded, strict=True):
        assert torch.equal(stream[:, : beginning.shape[1]], beginning)
    continued = model().continue_sample(
        encoded, labels(), duration_sec=top_seconds(20), **options()
    )
    assert_equal(codes, continued)


def test_several_takes_of_one_prompt_differ_after_it():
    (codes,) = model().primed_sample(
        prompt(5 * 128)[:1],
        other_labels(),
        2,
        duration_sec=top_seconds(20),
        **options(levels=TOP),
    )
    assert torch.equal(codes[0, :5], codes[1, :5])
    assert not torch.equal(codes[0], codes[1])


@pytest.mark.parametrize(
    "audio", [torch.zeros(1, 127, 1), torch.zeros(1, 0, 1), torch.zeros(1280), torch.zeros(1, 1280)]
)
def test_a_prompt_that_is_no_sound_is_refused(audio):
    with pytest.raises(AudioError, match="at least 128 samples"):
        model().primed_sample(audio, other_labels(), duration_sec=1.0, **options())


def test_a_prompt_longer_than_the_song_is_refused():
    with pytest.raises(
        SongError, match=r"prompt alone lasts 0.029\d+ s.*at least 0.03 s"
    ) as caught:
        model().primed_sample(
            prompt(1280), labels(), duration_sec=top_seconds(9), **options(levels=TOP)
        )
    assert caught.value.field == "duration_sec"


# What cannot be gone on with -----------------------------------------------------------------


def refusal(codes, *arguments, **changes):
    values = {"duration_sec": top_seconds(20), **options(levels=COARSE_TO_FINE[:2]), **changes}
    with pytest.raises(SongError) as caught:
        model().continue_sample(codes, *(arguments or (labels(),)), **values)
    return caught.value.field, str(caught.value)


def test_codes_that_are_none_of_this_model_are_refused():
    top, middle = (stream.clone() for stream in song_of(SHORT)[:2])
    top[0, 3] = 64
    assert refusal([top])[0] == "codes"
    assert "this model has 0 to 63" in refusal([top])[1]
    top[0, 3] = -1
    for broken in ([top], [middle.float()], [middle[0]], [middle > 3], []):
        assert refusal(broken)[0] == "codes"
    four_rows = middle.repeat(2, 1)
    assert "wanted whole numbers [1 or 2, tokens]" in refusal([middle[:1, :9], four_rows])[1]


def test_codes_kept_in_fewer_bits_are_the_same_codes():
    draft = [song_of(SHORT, TOP)[0].to(torch.int32)]
    assert_equal(model().upsample(draft, labels(), **options()), song_of(SHORT))


def test_four_levels_are_too_many():
    streams = [song_of(SHORT)[0]] * 4
    with pytest.raises(SongError, match="4 levels are given, of 3"):
        model()._sample(streams, labels(), duration_sec=1.0)


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there_is_refused(row):
    field, message = refusal(song_of(SHORT), row=row)
    assert field == "row"
    assert message == f"row={row}, but the codes have 2 rows, from 0 on"


def test_rows_labels_and_takes_that_do_not_go_together_are_refused():
    field, message = refusal(song_of(SHORT), labels(), 3)
    assert field == "num_samples"
    assert "n_samples=3, 2 songs to sing and 2 rows of codes do not go together" in message


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"keep_sec": top_seconds(SHORT + 1)}, "keep_sec"),
        ({"keep_sec": 0.0}, "keep_sec"),
        ({"duration_sec": top_seconds(SHORT - 1)}, "duration_sec"),
        ({"song_duration_sec": 700.0}, "song_duration_sec"),
        ({"seed": -1}, "seed"),
        ({"levels": (Level.TOP, Level.BOTTOM)}, "levels"),
        ({"levels": ["top", "bottom"]}, "levels"),
        ({"levels": ["upper"]}, "levels"),
        ({"levels": 2.5}, "levels"),
        ({"sampling": {"upper": SamplingParams()}}, "sampling"),
        ({"sampling": {"top": 0.9}}, "sampling"),
    ],
)
def test_what_cannot_be_sung_on_names_the_field_at_fault(changes, field):
    assert refusal(song_of(SHORT), **changes)[0] == field


def test_the_arrays_of_the_hugging_face_tokenizer_sing_the_same_song():
    one_song = labels().song(0)
    wanted = model().ancestral_sample(one_song, duration_sec=top_seconds(SHORT), **options())
    input_ids = one_song["input_ids"]
    for given_ids in (input_ids, [torch.as_tensor(ids) for ids in input_ids]):
        found = model().ancestral_sample(given_ids, duration_sec=top_seconds(SHORT), **options())
        assert_equal(found, wanted)


def test_a_name_that_is_no_level_is_told_with_those_that_are():
    _, message = refusal(song_of(SHORT), levels=["upper"])
    assert "'upper' is no level" in message
    assert "top, middle and bottom" in message


def test_a_prompt_longer_than_the_song_is_told_with_its_length_at_the_rate_of_the_model():
    """A tensor has no rate: what was read at another one is longer here than it was."""
    rate_hz = model().config.vqvae.sample_rate_hz
    prompt = torch.zeros(1, 3 * rate_hz, 1)
    with pytest.raises(
        SongError, match=rf"lasts 2.99828 s at the {rate_hz:,} Hz of this model.*={rate_hz}"
    ):
        model().primed_sample(prompt, labels(), duration_sec=2.0)


def test_arrays_that_are_no_labels_are_refused():
    with pytest.raises(LabelError, match="each of the 3 priors"):
        model().ancestral_sample([np.zeros((1, 12), dtype=np.int64)], duration_sec=1.0)
    with pytest.raises(LabelError, match=r"have the shape \(12,\)"):
        model().ancestral_sample([np.zeros(12, dtype=np.int64)] * 3, duration_sec=1.0)


# A place of its own in a song of its own for every row -------------------------------------------

DURATIONS_SEC, OFFSETS_SEC = [62.0, 300.0, 599.0], [3.0, 200.0, 12.5]


def alone(how, row, *first, song_labels=None, **given):
    """Row `row` of a batch, in a run of its own."""
    one = labels().song(0) if song_labels is None else song_labels
    return how(
        *first,
        one,
        **options(
            song_duration_sec=DURATIONS_SEC[row],
            offset_sec=OFFSETS_SEC[row],
            first_sample=row,
            **given,
        ),
    )


def assert_rows(codes, singles):
    assert len(codes[0]) == len(singles)
    for row, single in enumerate(singles):
        assert_equal([stream[row : row + 1] for stream in codes], single)


def own_places(**changes):
    return options(song_duration_sec=DURATIONS_SEC, offset_sec=OFFSETS_SEC, **changes)


@pytest.mark.parametrize("num_top_tokens", [WHOLE, SHORT])
def test_rows_of_a_batch_may_lie_anywhere_in_songs_of_any_length(num_top_tokens):
    given = {"duration_sec": top_seconds(num_top_tokens), "levels": COARSE_TO_FINE[:2]}
    codes = model().ancestral_sample(labels().song(0), 3, **own_places(**given))
    singles = [alone(model().ancestral_sample, row, **given) for row in range(3)]
    assert_rows(codes, singles)
    # It makes a difference where they lie.
    together = model().ancestral_sample(labels().song(0), 3, **options(**given))
    assert not torch.equal(together[0], codes[0])


def test_each_row_may_have_its_own_labels_as_well():
    given = {"duration_sec": top_seconds(SHORT), "levels": TOP}
    places = {"song_duration_sec": DURATIONS_SEC[:2], "offset_sec": OFFSETS_SEC[:2]}
    codes = model().ancestral_sample(labels(), **options(**given, **places))
    sample = model().ancestral_sample
    singles = [alone(sample, row, song_labels=labels().song(row), **given) for row in range(2)]
    assert_rows(codes, singles)


def test_the_number_of_places_is_the_number_of_rows_where_there_is_one_song():
    codes = model().ancestral_sample(
        labels().song(0), **own_places(duration_sec=top_seconds(SHORT), levels=TOP)
    )
    assert len(codes[0]) == 3


def test_a_continued_batch_and_an_upsampled_one_keep_their_places():
    kept, longer = song_of(SHORT, TOP), top_seconds(SHORT + 4)
    draft = [kept[0][:1]]
    codes = model().continue_sample(
        draft, labels().song(0), **own_places(duration_sec=longer, levels=TOP)
    )
    proceed = model().continue_sample
    singles = [alone(proceed, row, draft, duration_sec=longer, levels=TOP) for row in range(3)]
    assert_rows(codes, singles)
    whole = model().upsample(codes, labels().song(0), **own_places(levels=COARSE_TO_FINE[:2]))
    singles = [
        alone(model().upsample, row, [codes[0][row : row + 1]], levels=COARSE_TO_FINE[:2])
        for row in range(3)
    ]
    assert_rows(whole, singles)


def test_alignments_have_their_places_too():
    codes = song_of(SHORT, TOP)[0][:1]
    song = labels().song(0)
    places = {"song_duration_sec": DURATIONS_SEC, "offset_sec": OFFSETS_SEC}
    found = model().align(codes, song, **places)
    for row in range(3):
        (wanted,) = model().align(
            codes, song, song_duration_sec=DURATIONS_SEC[row], offset_sec=OFFSETS_SEC[row]
        )
        assert torch.equal(found[row], wanted)


def test_places_that_do_not_go_with_the_rows_are_refused():
    given = {"duration_sec": top_seconds(SHORT), "levels": TOP}
    with pytest.raises(SongError, match="2 of song_duration_sec, 3 of offset_sec"):
        model().ancestral_sample(
            labels().song(0),
            **options(song_duration_sec=DURATIONS_SEC[:2], offset_sec=OFFSETS_SEC, **given),
        )
    with pytest.raises(SongError, match="each must be 1 or 2"):
        model().ancestral_sample(labels(), **options(offset_sec=[], **given))
    with pytest.raises(SongError, match=r"row 1: offset_sec=61 and duration_sec=.* end after"):
        model().ancestral_sample(
            labels(), **options(song_duration_sec=61.0, offset_sec=[0.0, 61.0], **given)
        )
