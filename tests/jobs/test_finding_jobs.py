"""Jobs are found by words, names, tags and moments, in lists that stay exact whatever happens."""

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from jobs.errors import InvalidCursor
from jobs.record.codec import job_to_fields
from jobs.record.job import JobStatus
from jobs.record.search_terms import folded, terms_of_job, words_of
from jobs.record.spans import request_span
from jobs.store.older_records import OlderRecordsWalk
from jobs.store.scripts import KEY_PREFIX, MAX_LIST_WORK, index_key, record_key
from tests.jobs.records import new_job

pytestmark = pytest.mark.redis

NOON = datetime(2020, 11, 22, 12, tzinfo=UTC)


def a_job(n=0, *, owner=None, title=None, tags=(), favorite=False, notes=None, **request):
    job = new_job(created_at=NOON + timedelta(seconds=n), **request)
    written = {"title": title, "tags": tags, "favorite": favorite, "notes": notes}
    return replace(job, owner=owner, labels={}, **written)


def found(store, **filters):
    """All ids of a list, page by page; the total is the same on every page."""
    cursor, ids, totals = None, [], set()
    limit = filters.pop("limit", 3)
    while True:
        page = store.list_jobs(limit=limit, cursor=cursor, **filters)
        ids += [job.id for job in page.jobs]
        totals.add(page.total)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert totals == {len(ids)}
    assert len(ids) == len(set(ids))
    return ids


@pytest.fixture
def server(clean_redis_url):
    with redis.Redis.from_url(clean_redis_url, decode_responses=True) as client:
        yield client


def list_keys(server):
    """Everything that lists are made of."""
    keys = (*server.keys(f"{KEY_PREFIX}jobs*"), *server.keys(f"{KEY_PREFIX}titles*"))
    keys = sorted((*keys, *server.keys(f"{KEY_PREFIX}words"), *server.keys("*:terms")))
    return {
        key: server.hgetall(key) if key.endswith(":terms") else server.zrange(key, 0, -1)
        for key in keys
    }


class TestWords:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Rain, rain -- go away!", ["rain", "go", "away"]),
            ("Là-bas, ÉTÉ", ["la", "bas", "ete"]),
            ("don't DON\u2019T", ["dont"]),
            ("Straße", ["strasse"]),
            ("夜に駆ける", ["夜", "に", "駆", "け", "る"]),
            ("a_b 4/4", ["a", "b", "4"]),
            ("\ufb01re \uff12", ["fire", "2"]),
            ("x" * 40, ["x" * 32]),
            ("!?", []),
        ],
    )
    def test_are_folded(self, text, words):
        assert words_of(text) == words

    def test_folding_twice_changes_nothing(self):
        for text in ("İstanbul", "ǅ", "ﬃ", "ΐ", "Å  b"):
            assert folded(folded(text)) == folded(text)


def test_every_text_of_a_job_is_searched(store):
    job = a_job(
        title="Rain on Monday",
        tags=("slow burner",),
        notes="second take",
        artist="The Sawtooths",
        genre="drone",
        lyrics="hello\ndarkness",
    )
    store.create(job)
    store.create(a_job(1, lyrics="", artist="Nobody", genre="hiss"))
    for text in ("rain", "MONDAY", "burn", "take", "sawtooths", "dro", "Dárk", "ra mon take hello"):
        assert found(store, text=text) == [job.id], text
    for text in ("ain", "rain snow", "monday2", "!!"):
        assert found(store, text=text) == [], text
    assert len(found(store, text="")) == 2


def test_filters_of_names_are_whole_and_regardless_of_case(store):
    job = store.create(a_job(tags=("Slow", "été"), favorite=True))
    store.create(a_job(1, artist="Sawtooths", genre="drones", tags=("slower",)))
    same = {"tag": "SLOW", "artist": "the  sawtooths", "genre": "Drone", "favorite": True}
    for number in range(1, 5):
        for names in itertools.combinations(same, number):
            assert found(store, **{name: same[name] for name in names}) == [job.id]
    assert found(store, tag="ete") == [job.id]
    assert found(store, tag="slo") == []
    assert found(store, artist="sawtooths", tag="slow") == []


def test_names_that_the_model_knows_count_as_well(store):
    job = new_job(artist="", genre="")
    label = {"artist": {"name": "Hums", "id": 3}, "genres": [{"name": "noise", "id": 1}]}
    store.create(replace(job, labels={"top": label}))
    assert found(store, artist="hums") == found(store, text="noise hu") == [job.id]


def test_a_song_of_several_parts_is_found_by_what_each_is_sung_as(store):
    job = a_job(artist="One", lyrics="first")
    span = replace(request_span(job, position_sec=1.0), artist="Two", lyrics="second")
    store.create(replace(job, spans=(request_span(job, position_sec=0.0), span)))
    for filters in ({"artist": "two"}, {"artist": "one"}, {"text": "first second two"}):
        assert found(store, **filters) == [job.id]


def test_moments_are_exclusive_on_both_sides(store):
    jobs = [store.create(a_job(n)) for n in range(5)]
    between = {"created_after": jobs[0].created_at, "created_before": jobs[4].created_at}
    for order in ("-created_at", "created_at", "title"):
        assert sorted(found(store, order=order, **between)) == sorted(job.id for job in jobs[1:4])


TITLES = ["b", None, "É", "a", "Zoo", "e", None, "a", "10", "%s", "\U0001f3b5", "日"]


@pytest.mark.parametrize("limit", [1, 4, 100])
@pytest.mark.parametrize("max_sorted", [0, 800])
def test_titles_are_sorted_and_untitled_jobs_come_last(
    clean_redis_url, monkeypatch, limit, max_sorted
):
    """Few are sorted in one call, and of many the list of all titles is read."""
    from jobs.store import JobStore
    from jobs.store.scripts import scripts

    text = scripts()["list_jobs"].replace("MAX_SORTED = 800", f"MAX_SORTED = {max_sorted}")
    monkeypatch.setattr("jobs.store.scripts.scripts", lambda: {**scripts(), "list_jobs": text})
    store = JobStore(clean_redis_url)
    jobs = [store.create(a_job(n, title=title)) for n, title in enumerate(TITLES)]
    ids = found(store, order="title", limit=limit)
    titled = sorted(
        (job for job in jobs if job.title), key=lambda job: (folded(job.title).encode(), job.id)
    )
    untitled = [job for job in reversed(jobs) if not job.title]
    assert ids == [job.id for job in (*titled, *untitled)]
    assert found(store, order="title", text="a", limit=limit) == [
        job.id for job in titled if folded(job.title) == "a"
    ]
    store.close()


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_oldest_first_shows_every_job_once(store, limit):
    jobs = [store.create(a_job(n // 3)) for n in range(9)]
    expected = sorted(jobs, key=lambda job: (job.created_at, job.id))
    assert found(store, order="created_at", limit=limit) == [job.id for job in expected]


def test_a_cursor_of_another_order_is_refused(store):
    for n in range(3):
        store.create(a_job(n))
    cursors = {
        order: store.list_jobs(order=order, limit=1).next_cursor
        for order in ("-created_at", "created_at", "title")
    }
    for made, asked in itertools.permutations(cursors, 2):
        with pytest.raises(InvalidCursor):
            store.list_jobs(order=asked, cursor=cursors[made])


def test_owners_find_their_own_jobs_only(store):
    mine = store.create(a_job(owner="me", title="Rain", tags=("a",), favorite=True))
    yours = store.create(a_job(1, owner="you", title="Rain", tags=("a",), favorite=True))
    filters = [
        {"text": "rain"},
        {"tag": "a"},
        {"favorite": True},
        {"artist": "the sawtooths"},
        {"order": "title"},
        {"text": "ra", "tag": "a", "order": "title", "model": "tiny"},
    ]
    for each in filters:
        assert found(store, owner="me", **each) == [mine.id]
        assert found(store, owner="you", **each) == [yours.id]
        assert sorted(found(store, **each)) == sorted([mine.id, yours.id])
        assert found(store, owner="nobody", **each) == []


def test_a_tag_that_looks_like_a_list_of_another_owner_is_in_no_such_list(store):
    """Free text stands behind the owner in the names of keys."""
    store.create(a_job(owner="you", tags=("x:owner=me", "owner=me:tag=x")))
    store.create(a_job(1, tags=("owner=me:tag=x", ":owner=me:tag=x"), artist="owner=me:favorite"))
    for each in ({"tag": "x"}, {"favorite": True}, {"tag": "owner=me:tag=x"}):
        assert found(store, owner="me", **each) == []


def test_a_change_moves_a_job_between_lists(store, server):
    job = store.create(a_job(title="Rain", tags=("a", "b"), notes="wet"))
    changes = {"title": "Snow", "tags": ("b", "c"), "favorite": True, "notes": "cold rain"}
    store.annotate(job.id, changes)
    changed = store.get(job.id)
    for text, is_found in (("snow", True), ("wet", False), ("cold", True), ("rain", True)):
        assert (found(store, text=text) == [job.id]) is is_found, text
    assert [found(store, tag=tag) for tag in "abc"] == [[], [job.id], [job.id]]
    alone = list_keys(server)
    server.flushall()
    store.create(changed)
    assert alone == list_keys(server), "the lists are those of a job that was so from the beginning"
    store.annotate(job.id, {"title": None, "tags": (), "favorite": False, "notes": None})
    cleared = list_keys(server)
    server.flushall()
    store.create(replace(changed, title=None, tags=(), favorite=False, notes=None))
    assert cleared == list_keys(server)


def test_nothing_of_a_forgotten_job_stays(store, server):
    job = a_job(owner="me", title="Rain", tags=("a", "b"), favorite=True, notes="wet")
    store.create(job)
    store.annotate(job.id, {"title": "Snow", "tags": ("c",)})
    store.request_cancel(job.id)
    store.delete(job.id)
    assert list_keys(server) == {}


def test_nothing_of_an_expired_job_stays(store, server, clock):
    job = replace(a_job(owner="me", title="Rain", tags=("a",)), kept_sec=10.0)
    store.create(job)
    store.request_cancel(job.id)
    clock.pass_time(11.0)
    assert [store.expire(each) for each in store.expired()] == [True]
    assert list_keys(server) == {}


def as_older_release(server, job):
    """A record as the release before wrote it: in the lists that it knew."""
    fields = job_to_fields(job)
    server.hset(record_key(job.id), mapping=fields)
    moment = server.time()[0]
    created = int(
        float((job.created_at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    )
    assert moment > 0
    owner = [f"owner={job.owner}"] if job.owner else []
    status = f"status={job.status}"
    for parts in (
        [],
        ["model=tiny"],
        [f"root={job.root_id}"],
        *([each] for each in owner),
        [status],
        [status, "model=tiny"],
        *([status, each] for each in owner),
    ):
        server.zadd(":".join([f"{KEY_PREFIX}jobs", *parts]), {job.id: created})


class TestOlderRecords:
    def walk_to_the_end(self, store):
        walk = OlderRecordsWalk(store)
        while walk.is_behind:
            walk.step()
        return walk

    def test_are_found_once_somebody_has_walked_past_them(self, store, server):
        jobs = [a_job(n, owner="me", lyrics=f"song {n}") for n in range(5)]
        for job in jobs:
            as_older_release(server, job)
        assert found(store, owner="me") == [job.id for job in reversed(jobs)]
        self.walk_to_the_end(store)
        assert found(store, owner="me", text="song 3") == [jobs[3].id]
        assert len(found(store, owner="me", order="title")) == 5
        assert not store.is_any_unlisted()
        alone = list_keys(server)
        server.flushall()
        for job in jobs:
            store.create(job)
        assert alone == list_keys(server)

    def test_a_walk_may_end_at_any_step_and_begin_again(self, store, server, monkeypatch):
        monkeypatch.setattr("jobs.store.older_records._BATCH", 3)
        jobs = [a_job(n) for n in range(10)]
        for job in jobs:
            as_older_release(server, job)
        for _ in range(2):
            OlderRecordsWalk(store).step()
        assert store.is_any_unlisted()
        self.walk_to_the_end(store)
        assert not store.is_any_unlisted()

    def test_one_that_is_named_before_the_walk_has_its_new_name(self, store, server):
        job = a_job()
        as_older_release(server, job)
        store.annotate(job.id, {"title": "Rain", "tags": ("a",)})
        self.walk_to_the_end(store)
        assert found(store, text="rain") == found(store, tag="a") == [job.id]

    def test_a_name_that_comes_while_a_record_is_read_is_not_lost(self, store, server, monkeypatch):
        job = a_job()
        as_older_release(server, job)
        terms = terms_of_job

        def named_meanwhile(read):
            store.annotate(job.id, {"title": "Rain"})
            return terms(read)

        monkeypatch.setattr("jobs.store.older_records.terms_of_job", named_meanwhile)
        assert store.list_older(job.id) is False
        monkeypatch.undo()
        self.walk_to_the_end(store)
        assert found(store, text="rain") == [job.id]

    def test_what_comes_later_from_an_older_release_is_found_later(self, store, server):
        walk = self.walk_to_the_end(store)
        late = a_job(lyrics="late")
        as_older_release(server, late)
        walk.step()
        assert found(store, text="late") == [late.id]

    def test_what_an_older_release_deletes_leaves_all_lists(self, store, server):
        job = a_job(owner="me", title="Rain", tags=("a",), favorite=True)
        store.create(job)
        for key in server.keys(f"{KEY_PREFIX}jobs*"):
            if not any(word in key for word in ("word=", "tag=", "artist=", "genre=", "favorite")):
                server.zrem(key, job.id)
        server.delete(record_key(job.id))
        self.walk_to_the_end(store)
        assert list_keys(server) == {}

    def test_one_that_cannot_be_read_stops_nobody(self, store, server):
        bad, good = a_job(), a_job(1)
        for job in (bad, good):
            as_older_release(server, job)
        server.hset(record_key(bad.id), "request", "{")
        self.walk_to_the_end(store)
        assert found(store, text="drone") == [good.id]
        assert not store.is_any_unlisted()

    def test_a_record_of_an_older_release_can_be_run_and_deleted_before_the_walk(
        self, store, server
    ):
        job = a_job()
        as_older_release(server, job)
        assert store.request_cancel(job.id).status is JobStatus.CANCELED
        store.delete(job.id)
        assert list_keys(server) == {}


def test_lists_are_those_of_a_loop_over_all_jobs(store):
    """Random jobs, changes and deletions; random filters in every order."""
    rng = random.Random(7)
    words = ["rain", "rainy", "snow", "sno", "été", "夜", "a", "ab", "abc"]

    def some(number):
        return [rng.choice(words) for _ in range(rng.randrange(number + 1))]

    def annotations():
        return {
            "title": " ".join(some(2)) or None,
            "tags": tuple(dict.fromkeys(map(folded, some(2)))),
            "favorite": rng.random() < 0.3,
            "notes": " ".join(some(1)) or None,
        }

    jobs = {}
    for n in range(150):
        job = a_job(
            n // 2,
            owner=rng.choice(["me", "you"]),
            model=rng.choice(["tiny", "mini"]),
            artist=rng.choice(words),
            genre="drone",
            lyrics=" ".join(some(3)),
            **annotations(),
        )
        jobs[job.id] = store.create(job)
    for job_id in rng.sample(sorted(jobs), 60):
        jobs[job_id] = store.annotate(job_id, annotations())
    for job_id in rng.sample(sorted(jobs), 20):
        store.request_cancel(job_id)
        store.delete(job_id)
        del jobs[job_id]

    def has(job, text):
        texts = (job.title or "", *job.tags, job.notes or "", job.request.artist)
        own = words_of(" ".join((*texts, job.request.genre, job.request.lyrics)))
        return all(any(word.startswith(each) for word in own) for each in words_of(text))

    checks = {
        "owner": lambda job, value: job.owner == value,
        "model": lambda job, value: job.request.model == value,
        "favorite": lambda job, _: job.favorite,
        "tag": lambda job, value: folded(value) in map(folded, job.tags),
        "artist": lambda job, value: folded(job.request.artist) == folded(value),
        "text": has,
    }
    for _ in range(150):
        values = {
            "owner": rng.choice(["me", "you"]),
            "model": rng.choice(["tiny", "mini"]),
            "favorite": True,
            "tag": rng.choice(words),
            "artist": rng.choice(words),
            "text": " ".join(some(2)) or "r",
        }
        filters = {name: values[name] for name in values if rng.random() < 0.35}
        passing = [
            job for job in jobs.values() if all(checks[n](job, v) for n, v in filters.items())
        ]
        newest = sorted(passing, key=lambda job: (job.created_at, job.id), reverse=True)
        assert found(store, **filters) == [job.id for job in newest]
        oldest = [job.id for job in reversed(newest)]
        assert found(store, order="created_at", **filters) == oldest
        titled = sorted(
            (job for job in passing if job.title),
            key=lambda job: (folded(job.title)[:60].encode(), job.id),
        )
        by_title = found(store, order="title", **filters)
        assert by_title[: len(titled)] == [job.id for job in titled]
        assert sorted(by_title) == sorted(oldest)


class TestWorkOfACall:
    NUM_JOBS = 3 * MAX_LIST_WORK

    @pytest.fixture
    def wanted(self, store, server):
        """The oldest job, and many others that are in one of its lists or have one of its words."""
        wanted = store.create(a_job(-1, title="Rare", tags=("a", "b"), lyrics="x1 y"))
        ids = [f"job_{n:032x}" for n in range(2 * self.NUM_JOBS)]
        parts = ids[: self.NUM_JOBS], ids[self.NUM_JOBS :]
        one, other = ({job_id: 2e15 + n for n, job_id in enumerate(part)} for part in parts)
        server.zadd(f"{index_key()}:tag=a", one)
        server.zadd(f"{index_key()}:tag=b", other)
        server.zadd(f"{index_key()}:word=y", other)
        server.zadd(f"{KEY_PREFIX}words", {f"x{n}": 0 for n in range(150)})
        return wanted

    def calls(self, server, command):
        return server.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"]

    @pytest.mark.parametrize(
        "filters",
        [{"tag": "a", "artist": "the sawtooths"}, {"tag": "a", "text": "rar"}, {"text": "ra y"}],
        ids=["list", "word", "words"],
    )
    def test_the_smallest_list_is_walked(self, store, server, wanted, filters):
        server.config_resetstat()
        assert found(store, **filters) == [wanted.id]
        assert self.calls(server, "zscore") + self.calls(server, "hvals") < 10

    @pytest.mark.parametrize(
        "filters",
        [{"tag": "a", "text": "y"}, {"tag": "b", "text": "x"}, {"text": "y x", "tag": "a"}],
        ids=["word", "prefix of many words", "both"],
    )
    def test_lists_that_hardly_meet_are_walked_in_steps_that_are_all_small(
        self, store, server, wanted, filters
    ):
        server.config_resetstat()
        page, ids = store.list_jobs(**filters), []
        assert page.total is None, "too many would have to be counted"
        while page.next_cursor is not None:
            ids += [job.id for job in page.jobs]
            page = store.list_jobs(cursor=page.next_cursor, **filters)
        assert [*ids, *(job.id for job in page.jobs)] == [wanted.id]
        steps = self.calls(server, "evalsha")
        looks = self.calls(server, "zscore") + self.calls(server, "hvals")
        assert self.NUM_JOBS <= looks <= 2 * steps * MAX_LIST_WORK

    def test_one_list_is_counted_without_looking_at_its_jobs(self, store, server, wanted):
        server.config_resetstat()
        assert store.list_jobs(tag="a", limit=1).total == self.NUM_JOBS + 1
        assert self.calls(server, "zscore") == 0
