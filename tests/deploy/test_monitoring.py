"""Rules and dashboard ask for figures that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml

from api.metrics import ApiMetrics
from jobs.queue import CeleryJobQueue
from jobs.store import JobStore
from tests.deploy.test_compose import read
from worker.metrics import GpuMemoryCollector, WorkerMetrics

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
FIGURES_SECTION = re.search(
    r"^## Figures$(.*?)^## ", (FOLDER.parent / "README.md").read_text(), re.DOTALL | re.MULTILINE
)[1]
FIGURE = re.compile(r"\b(?:jukebox|process)_[a-z_]+\b(?!\")")


def sampled(registry) -> set[str]:
    """Names of families and of what is sampled of them."""
    names = set()
    for family in registry.collect():
        names.add(family.name)
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ())}
    return names


@pytest.fixture
def known(clean_redis_url, tmp_path, monkeypatch):
    store, queue = JobStore(clean_redis_url), CeleryJobQueue(clean_redis_url)
    api = ApiMetrics(store, queue, tmp_path).registry
    worker = WorkerMetrics("cpu", torch.device("cpu")).registry
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1, 2))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 1)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 1)
    gpu = next(iter(GpuMemoryCollector(torch.device("cuda")).collect()))
    return sampled(api) | sampled(worker) | {gpu.name}


def expressions() -> list[str]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [rule["expr"] for rule in rules] + asked


@pytest.mark.redis
def test_every_figure_that_is_asked_for_is_told(known):
    asked = {name for expression in expressions() for name in FIGURE.findall(expression)}
    assert len(asked) > 15
    assert asked <= known


@pytest.mark.redis
def test_every_figure_of_ours_is_explained(known):
    ours = {name for name in known if name.startswith("jukebox_")}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours}
    counters = {name.removesuffix("_total") for name in families if name.endswith("_total")}
    explained = set(FIGURE.findall(FIGURES_SECTION))
    assert families - counters <= explained
    assert explained <= known


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_alerts_fire_when_they_should_and_only_then():
    done = subprocess.run(
        ["promtool", "test", "rules", FOLDER / "tests" / "alerts_test.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_with_what_raises_it():
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((FOLDER / "tests" / "alerts_test.yml").read_text())["tests"]
    raised = {
        check["alertname"]
        for test in tests
        for check in test["alert_rule_test"]
        if check.get("exp_alerts")
    }
    assert raised == {rule["alert"] for rule in rules}


def test_prometheus_asks_with_a_key_and_finds_every_worker():
    api, worker = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    overlay = read("deploy/docker-compose.monitoring.yml")
    assert api["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    assert list(overlay["secrets"]) == ["metrics_key"]
    [found] = worker["dns_sd_configs"]
    settings = read("docker-compose.yml")["services"]["worker"]["environment"]
    assert (found["names"], found["port"]) == (["worker"], settings["JUKEBOX_METRICS_PORT"])


def test_nobody_but_this_machine_reaches_the_pages():
    services = read("deploy/docker-compose.monitoring.yml")["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert set(services) == {"prometheus", "grafana"}


def test_every_mounted_file_exists():
    services = read("deploy/docker-compose.monitoring.yml")["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (FOLDER.parents[1] / source).is_file()
