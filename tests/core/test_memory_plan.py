"""A model fits into the memory there is, or is refused with a sentence; no plan takes more."""

import resource

import pytest
import torch

from jukebox_core.models.device_memory import model_needs
from jukebox_core.models.host_memory import free_host_bytes, peak_resident_bytes, resident_bytes
from jukebox_core.models.memory_plan import (
    MemoryKind,
    ModelNeeds,
    ModelTooLarge,
    PriorNeeds,
    least_bytes,
    plan_memory,
)
from jukebox_core.models.placement import Placement
from jukebox_core.models.released import released_config
from jukebox_core.units import COARSE_TO_FINE, Level

GB = 10**9
NEEDS = ModelNeeds(
    priors={
        Level.TOP: PriorNeeds(weight_bytes=1000, row_bytes=10),
        Level.MIDDLE: PriorNeeds(weight_bytes=800, row_bytes=100),
        Level.BOTTOM: PriorNeeds(weight_bytes=900, row_bytes=100),
    },
    codec_bytes=20,
    working_bytes=50,
)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def taken_bytes(needs, plan):
    """What a plan takes when all its rows run, counted by hand."""
    rows = {level: plan.rows[level] * each.row_bytes for level, each in needs.priors.items()}
    weights = {level: each.weight_bytes for level, each in needs.priors.items()}
    if plan.placement is Placement.RESIDENT:
        return needs.fixed_bytes + sum(rows.values()) + sum(weights.values())
    if plan.placement is Placement.OFFLOADED:
        return needs.fixed_bytes + max(rows.values())
    return needs.fixed_bytes + max(rows[level] + weights[level] for level in rows)


@pytest.mark.parametrize("kind", MemoryKind)
@pytest.mark.parametrize("max_rows", [1, 2, 8, 100])
def test_no_plan_takes_more_than_there_is_and_more_memory_never_gives_fewer_rows(kind, max_rows):
    before = None
    for free_bytes in range(0, 24_000, 11):
        try:
            plan = plan_memory(NEEDS, free_bytes=free_bytes, max_rows=max_rows, kind=kind)
        except ModelTooLarge:
            assert free_bytes < least_bytes(NEEDS, kind)
            assert before is None, "what fits still fits with more memory"
            continue
        assert plan.total_bytes == taken_bytes(NEEDS, plan) <= free_bytes
        assert all(1 <= rows <= max_rows for rows in plan.rows.values())
        if before is not None and before.placement is plan.placement:
            assert all(plan.rows[level] >= before.rows[level] for level in plan.rows)
        before = plan
    assert before.placement is Placement.RESIDENT
    assert set(before.rows.values()) == {max_rows}


def test_a_cpu_keeps_all_rows_rather_than_all_levels():
    whole = plan_memory(NEEDS, free_bytes=4450, max_rows=8, kind=MemoryKind.HOST)
    assert (whole.placement, set(whole.rows.values())) == (Placement.RESIDENT, {8})
    part = plan_memory(NEEDS, free_bytes=4449, max_rows=8, kind=MemoryKind.HOST)
    assert part.placement is Placement.ONE_AT_A_TIME
    assert set(part.rows.values()) == {8}
    fewer = plan_memory(NEEDS, free_bytes=1270, max_rows=8, kind=MemoryKind.HOST)
    assert fewer.rows == {Level.TOP: 8, Level.MIDDLE: 4, Level.BOTTOM: 3}


def test_a_small_card_steps_fewer_rows_before_its_weights_move():
    plan = plan_memory(NEEDS, free_bytes=3700, max_rows=8, kind=MemoryKind.DEVICE)
    assert (plan.placement, set(plan.rows.values())) == (Placement.RESIDENT, {4})
    plan = plan_memory(NEEDS, free_bytes=3500, max_rows=8, kind=MemoryKind.DEVICE)
    assert plan.placement is Placement.ONE_AT_A_TIME
    plan = plan_memory(NEEDS, free_bytes=400, max_rows=8, kind=MemoryKind.DEVICE)
    assert plan.placement is Placement.OFFLOADED
    assert plan.rows == {Level.TOP: 8, Level.MIDDLE: 3, Level.BOTTOM: 3}


def test_a_placement_that_is_insisted_on_is_kept_or_refused_by_name():
    wanted = {"max_rows": 8, "kind": MemoryKind.HOST, "wanted": "resident"}
    plan = plan_memory(NEEDS, free_bytes=3200, **wanted)
    assert (plan.placement, set(plan.rows.values())) == (Placement.RESIDENT, {2})
    with pytest.raises(ModelTooLarge, match="JUKEBOX_PLACEMENT=resident"):
        plan_memory(NEEDS, free_bytes=2800, **wanted)


def test_where_memory_is_not_known_everything_fits():
    plan = plan_memory(NEEDS, free_bytes=None, max_rows=8, kind=MemoryKind.HOST)
    assert (plan.placement, set(plan.rows.values())) == (Placement.RESIDENT, {8})


def test_a_refusal_says_how_much_is_needed_and_how_much_there_is():
    needs = model_needs(
        released_config("5b_lyrics"), device=CPU, dtype=torch.float32, int8_weights=False
    )
    with pytest.raises(ModelTooLarge, match=r"at least \d+\.\d GB of memory, and 16\.0 GB of the"):
        plan_memory(needs, free_bytes=16 * GB, max_rows=8, kind=MemoryKind.HOST)


def test_1b_lyrics_in_int8_fits_into_5_gb_on_a_cpu_and_into_cards_that_people_have():
    config = released_config("1b_lyrics")
    host = model_needs(config, device=CPU, dtype=torch.float32, int8_weights=True)
    plan = plan_memory(host, free_bytes=5 * GB, max_rows=8, kind=MemoryKind.HOST)
    assert plan.placement is Placement.ONE_AT_A_TIME
    assert min(plan.rows.values()) >= 5
    card = model_needs(config, device=CUDA, dtype=torch.float16, int8_weights=False)
    for card_gb, placement, least_rows in (
        (24, Placement.RESIDENT, 8),
        (14, Placement.RESIDENT, 4),
        (6, Placement.ONE_AT_A_TIME, 3),
    ):
        plan = plan_memory(card, free_bytes=card_gb * GB, max_rows=8, kind=MemoryKind.DEVICE)
        assert plan.placement is placement, card_gb
        assert min(plan.rows.values()) >= least_rows, (card_gb, plan)


def test_needs_of_some_levels_leave_out_the_others():
    config = released_config("1b_lyrics")
    whole, top = (
        model_needs(config, device=CPU, dtype=torch.float32, int8_weights=True, levels=levels)
        for levels in (COARSE_TO_FINE, [Level.TOP])
    )
    assert set(top.priors) == {Level.TOP}
    assert top.priors[Level.TOP] == whole.priors[Level.TOP]
    assert top.codec_bytes == whole.codec_bytes


def files(root, texts):
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


MEMINFO = "MemTotal: 16000000 kB\nMemFree: 100 kB\nMemAvailable:    8000000 kB\n"
NO_LIMIT_V1 = "9223372036854771712\n"


@pytest.mark.parametrize(
    ("texts", "free"),
    [
        ({}, 8_192_000_000),
        ({"self/cgroup": "0::/\n", "fs/memory.max": "max\n"}, 8_192_000_000),
        (  # a container, version 2: files that can be dropped count as free
            {
                "self/cgroup": "0::/\n",
                "fs/memory.max": "5000000000\n",
                "fs/memory.current": "3000000000\n",
                "fs/memory.stat": "anon 1\nactive_file 500000000\ninactive_file 400000000\n",
            },
            2_900_000_000,
        ),
        (  # nested: the group around has less left
            {
                "self/cgroup": "0::/pod/one\n",
                "fs/pod/one/memory.max": "5000000000\n",
                "fs/pod/one/memory.current": "1000000000\n",
                "fs/pod/memory.max": "6000000000\n",
                "fs/pod/memory.current": "5500000000\n",
            },
            500_000_000,
        ),
        (  # version 1, seen from inside: the path is that of the host
            {
                "self/cgroup": "5:cpu:/x\n4:memory:/docker/abc\n",
                "fs/memory/memory.limit_in_bytes": "2000000000\n",
                "fs/memory/memory.usage_in_bytes": "2500000000\n",
                "fs/memory/memory.stat": "total_inactive_file 100000000\n",
            },
            0,
        ),
        (
            {
                "self/cgroup": "4:memory:/docker\n",
                "fs/memory/docker/memory.limit_in_bytes": NO_LIMIT_V1,
                "fs/memory/docker/memory.usage_in_bytes": "1\n",
            },
            8_192_000_000,
        ),
    ],
)
def test_a_container_may_take_what_its_groups_leave(tmp_path, texts, free):
    files(tmp_path, {"meminfo": MEMINFO, **texts})
    assert free_host_bytes(tmp_path, tmp_path / "fs") == free


def test_a_process_may_take_what_its_limits_leave(tmp_path, monkeypatch):
    sizes = {"self/status": "VmSize: 3000000 kB\nVmData: 1000000 kB\n"}
    files(tmp_path, {"meminfo": MEMINFO, **sizes})
    limits = {resource.RLIMIT_AS: resource.RLIM_INFINITY, resource.RLIMIT_DATA: 2 * GB}
    monkeypatch.setattr(resource, "getrlimit", lambda number: (limits[number], limits[number]))
    assert free_host_bytes(tmp_path, tmp_path / "fs") == 2 * GB - 1_024_000_000
    limits[resource.RLIMIT_AS] = 3_072_000_100
    assert free_host_bytes(tmp_path, tmp_path / "fs") == 100
    limits[resource.RLIMIT_AS] = 1 * GB  # less than it has already
    assert free_host_bytes(tmp_path, tmp_path / "fs") == 0


def test_where_the_kernel_tells_nothing_nothing_is_known(tmp_path):
    assert free_host_bytes(tmp_path, tmp_path) is None
    assert resident_bytes(tmp_path) is None


def test_this_process_and_this_machine_are_known():
    assert 0 < resident_bytes() <= peak_resident_bytes()
    assert free_host_bytes() > 0
