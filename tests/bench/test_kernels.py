"""The plan of the fused kernels adds up, and is the floor that is known of the released priors."""

import json

import pytest

pytest.importorskip("triton")

from bench.kernels import main


def last_line(capsys, *arguments):
    main(arguments)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_plan_reads_all_weights_once_and_keys_and_values_for_each_row(capsys):
    plans = last_line(capsys, "--plan", "--priors", "upsampler", "--batch", "1", "64")["plans"]
    one, many = plans
    assert [plan["launches"] for plan in plans] == [361, 361]
    for plan in plans:
        launches = sum(kernel["launches"] for kernel in plan["kernels"])
        assert launches == plan["launches"]
    # 7.4 MB of keys and values for each row.
    assert many["memory_mb"] - one["memory_mb"] == pytest.approx(63 * 7.4, rel=0.01)
    # 1,603 MB with the logits, of which the stack is all but 7.9.
    assert one["memory_mb"] == pytest.approx(1601, abs=5)
    assert one["floor_ms"] < one["predicted_ms"] < one["careful_ms"]


def test_int8_weights_are_planned_with_half_of_the_bytes(capsys):
    arguments = ("--plan", "--priors", "5b_lyrics")
    full, half = (
        last_line(capsys, *arguments, *precision)["plans"][0] for precision in ((), ("--int8",))
    )
    assert half["memory_mb"] == pytest.approx(full["memory_mb"] / 2, rel=0.01)


@pytest.mark.nightly("kernels")
def test_kernels_are_compiled_for_a_gpu_that_is_not_here(capsys, monkeypatch):
    from bench import kernels

    real = kernels.distinct
    monkeypatch.setattr(kernels, "distinct", lambda launches: real(launches)[:1])
    arguments = ("--compile", "--priors", "upsampler", "--capability", "80", "90")
    rows = last_line(capsys, *arguments)["compiled"]
    assert [row["capability"] for row in rows] == [80, 90]
    assert all(row["registers"] > 0 and row["spill_bytes"] == 0 for row in rows)
