import pytest

from jukebox_core.errors import LabelError
from jukebox_core.labels import ResolvedName, Vocabulary
from tests.labels.golden import LABELS_DIR

# Invented lists in the two formats; the spellings follow the traps of the released ones.
V2 = Vocabulary(
    "v2",
    artists={
        "unknown": 0,
        "various": 0,
        "": 0,
        "b_l_i_p": 1,
        "the_dusty_o_s": 2,
        "fa_ade": 3,
        "b_l_i_p_": 4,
    },
    genres={"unknown": 0, "drone": 1, "folk": 2, "hip": 3, "hop": 4},
)
V3 = Vocabulary(
    "v3",
    artists={"unknown": 0, "b.l.i.p.": 1, "façade": 2, "mops & pails": 3},
    genres={"unknown": 0, "drone folk": 1, "hip hop": 2},
)


@pytest.mark.parametrize(
    ("name", "id_", "matched"),
    [
        ("B.L.I.P.", 1, "b_l_i_p"),
        ("b l i p", 1, "b_l_i_p"),
        ("The Dusty O's", 2, "the_dusty_o_s"),
        ("  the -- DUSTY (o\u2019s)!", 2, "the_dusty_o_s"),
        ("Façade", 3, "fa_ade"),
        ("FAÇADE", 3, "fa_ade"),
    ],
)
def test_v2_names_are_reduced_to_ascii_words_before_the_look_up(name, id_, matched):
    assert V2.resolve_artist(name) == ResolvedName(name, id_, True, matched)


@pytest.mark.parametrize(
    ("name", "id_"), [("B.L.I.P.", 1), ("FAÇADE", 2), ("Mops & Pails", 3), ("mops & pails", 3)]
)
def test_v3_names_are_compared_whole_and_in_lower_case(name, id_):
    assert V3.resolve_artist(name) == ResolvedName(name, id_, True, name.lower())


@pytest.mark.parametrize("name", ["B L I P", "Facade", "mops  & pails", " façade"])
def test_v3_forgives_nothing_but_case(name):
    assert V3.resolve_artist(name) == ResolvedName(name, 0, False, None)


@pytest.mark.parametrize("vocabulary", [V2, V3])
@pytest.mark.parametrize("name", ["Nobody", "", "unknown", "!!!", "米津玄師"])
def test_who_is_not_in_the_list_is_id_0_and_not_known(vocabulary, name):
    assert vocabulary.resolve_artist(name) == ResolvedName(name, 0, False, None)


def test_a_listed_name_for_id_0_is_no_recognition():
    assert not V2.resolve_artist("Various").known


def test_a_v2_genre_is_a_bag_of_words():
    names = V2.resolve_genre("Hip-Hop Drone", max_genres=5)
    assert [(name.name, name.id, name.known) for name in names] == [
        ("hip", 3, True),
        ("hop", 4, True),
        ("drone", 1, True),
    ]


def test_unknown_genre_words_keep_their_place_in_the_bag():
    assert [n.id for n in V2.resolve_genre("Quantum Folk", max_genres=5)] == [0, 2]


def test_repeated_genre_words_are_counted_twice():
    assert [n.id for n in V2.resolve_genre("folk folk", max_genres=5)] == [2, 2]


@pytest.mark.parametrize("text", ["", "  ", "!?"])
def test_an_empty_v2_genre_is_one_unknown_word(text):
    assert [(n.id, n.known) for n in V2.resolve_genre(text, max_genres=5)] == [(0, False)]


def test_a_v3_genre_is_one_whole_name():
    assert [n.id for n in V3.resolve_genre("Drone Folk", max_genres=1)] == [1]
    assert [(n.id, n.known) for n in V3.resolve_genre("Drone", max_genres=1)] == [(0, False)]
    assert len(V3.resolve_genre("a genre of rather many words indeed", max_genres=1)) == 1


def test_a_v2_genre_of_too_many_words_is_refused_with_a_shorter_one():
    with pytest.raises(LabelError, match=r"6 words.*at most 5.*'a b c d e'"):
        V2.resolve_genre("a b c d e f", max_genres=5)


def test_a_v2_genre_of_exactly_the_limit_is_accepted():
    assert len(V2.resolve_genre("a b c d e", max_genres=5)) == 5


@pytest.mark.parametrize("vocabulary", [V2, V3])
def test_saved_lists_read_back_equal(vocabulary, tmp_path):
    files = vocabulary.save(tmp_path)
    assert [file.name for file in files] == [
        f"{vocabulary.version}_artist_ids.txt",
        f"{vocabulary.version}_genre_ids.txt",
    ]
    assert Vocabulary.from_directory(tmp_path, vocabulary.version) == vocabulary


def test_names_may_hold_semicolons_and_strange_spaces(tmp_path):
    odd = Vocabulary("v3", artists={"a;b": 1, "trailing ": 2, "one\u2028two": 3}, genres={"x": 0})
    odd.save(tmp_path)
    assert Vocabulary.from_directory(tmp_path, "v3") == odd


def test_a_name_with_a_line_break_is_not_saved(tmp_path):
    with pytest.raises(LabelError, match="line breaks"):
        Vocabulary("v3", artists={"a\nb": 1}, genres={}).save(tmp_path)


def _write_lists(directory, artists: bytes):
    (directory / "v3_artist_ids.txt").write_bytes(artists)
    (directory / "v3_genre_ids.txt").write_bytes(b"unknown;0\n")


def test_the_last_of_two_equal_names_counts(tmp_path):
    _write_lists(tmp_path, b"unknown;0\nSpeaker;3\r\n\nspeaker;7\n")
    assert Vocabulary.from_directory(tmp_path, "v3").resolve_artist("speaker").id == 7


def test_a_malformed_line_is_named(tmp_path):
    _write_lists(tmp_path, b"unknown;0\nno id here\n")
    with pytest.raises(LabelError, match=r"v3_artist_ids\.txt, line 2.*'no id here'"):
        Vocabulary.from_directory(tmp_path, "v3")


def test_a_list_that_is_not_utf_8_is_refused(tmp_path):
    _write_lists(tmp_path, b"c\xe9line;0\n")
    with pytest.raises(LabelError, match="not UTF-8"):
        Vocabulary.from_directory(tmp_path, "v3")


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(LabelError, match=r"v2_artist_ids\.txt"):
        Vocabulary.from_directory(tmp_path, "v2")


def test_negative_ids_are_refused():
    with pytest.raises(LabelError, match="negative"):
        Vocabulary("v2", artists={"somebody": -1}, genres={})


def test_the_golden_names_resolve_in_both_versions():
    v2 = Vocabulary.from_directory(LABELS_DIR, "v2")
    v3 = Vocabulary.from_directory(LABELS_DIR, "v3")
    assert v2.resolve_artist("Céline Dion").id == 557
    assert v3.resolve_artist("Céline Dion").id == 5220
    assert not v2.resolve_artist("Celine Dion").known
    assert [name.id for name in v2.resolve_genre("Classic Pop", 5)] == [51, 14]
    assert [name.id for name in v3.resolve_genre("Classic Pop", 1)] == [134]
