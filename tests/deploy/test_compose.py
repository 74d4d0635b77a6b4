"""The compose files as far as they can be judged without a container engine."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from api.settings import ApiSettings
from jobs.record.job import Stage
from jobs.webhooks.settings import WebhookSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text()
COMPOSE_FILES = ["docker-compose.yml", "deploy/docker-compose.cpu.yml"]


class ComposeLoader(yaml.SafeLoader):
    """Knows the two tags with which Compose takes things out of the file before."""


for tag in ("!reset", "!override"):
    ComposeLoader.add_constructor(tag, lambda loader, node: loader.construct_sequence(node))


def read(name):
    return yaml.load((ROOT / name).read_text(), ComposeLoader)


@pytest.fixture(scope="module")
def services():
    return read("docker-compose.yml")["services"]


def option(command, name):
    return command[command.index(name) + 1]


def test_there_is_a_queue_an_api_and_a_worker(services):
    assert {"redis", "api", "worker"} <= set(services)


def test_no_acknowledged_job_is_ever_lost(services):
    command = services["redis"]["command"]
    assert command[0] == "valkey-server"
    assert option(command, "--appendonly") == "yes"
    assert option(command, "--appendfsync") == "always"
    assert option(command, "--maxmemory-policy") == "noeviction"
    assert "redis:/data" in services["redis"]["volumes"]


def test_only_the_stack_reaches_redis_and_only_with_the_password(services):
    redis = services["redis"]
    assert "ports" not in redis
    assert "expose" not in redis
    assert redis["networks"] == ["queue"]
    assert read("docker-compose.yml")["networks"]["queue"] == {"internal": True}
    assert option(redis["command"], "--requirepass").startswith("${REDIS_PASSWORD:?")
    for name in ("api", "worker"):
        assert "${REDIS_PASSWORD:?" in services[name]["environment"]["REDIS_URL"]


def test_no_password_is_written_down():
    for name in COMPOSE_FILES:
        assert not re.search(r"REDIS_PASSWORD:-", (ROOT / name).read_text())


def test_the_api_is_published_to_this_machine_only(services):
    assert services["api"]["ports"] == ["127.0.0.1:${JUKEBOX_PORT:-8000}:8000"]
    assert [name for name, service in services.items() if "ports" in service] == ["api"]


def test_the_worker_reserves_a_gpu(services):
    [device] = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_the_cpu_overlay_takes_the_gpu_away_and_changes_nothing_else():
    overlay = read("deploy/docker-compose.cpu.yml")["services"]
    worker = overlay["worker"]
    assert worker["deploy"]["resources"]["reservations"]["devices"] == []
    assert worker["environment"]["JUKEBOX_DEVICE"] == "cpu"
    assert worker["build"]["dockerfile"] == "deploy/Dockerfile.cpu"
    assert set(overlay) <= set(read("docker-compose.yml")["services"])


@pytest.mark.parametrize("name", ["redis", "api", "worker", "webhooks"])
def test_every_service_is_watched_and_starts_again(services, name):
    check = services[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check)
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert services[name]["restart"] == "unless-stopped"


def test_health_checks_ask_what_exists(services):
    assert services["worker"]["healthcheck"]["test"] == ["CMD", "python", "-m", "worker.health"]
    assert importlib.util.find_spec("worker.health") is not None
    assert "/readyz" in services["api"]["healthcheck"]["test"][-1]
    assert any('"/readyz"' in path.read_text() for path in (ROOT / "api").rglob("*.py"))


@pytest.mark.parametrize("name", ["api", "worker", "webhooks"])
def test_nothing_starts_before_redis_answers(services, name):
    assert services[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", ["redis", "api", "worker", "webhooks"])
def test_every_service_has_as_few_rights_as_it_can(services, name):
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


def test_weights_are_mounted_for_reading(services):
    for name in ("api", "worker"):
        assert "${JUKEBOX_MODELS:-models}:/models:ro" in services[name]["volumes"]
        assert "data:/data" in services[name]["volumes"]


def test_a_stopping_worker_has_time_to_give_its_jobs_back(services):
    assert services["worker"]["stop_grace_period"] == "60s"
    assert services["worker"]["init"] is True


def test_every_named_volume_and_file_exists(services):
    content = read("docker-compose.yml")
    named = {
        volume.rpartition("-")[2].partition("}")[0] if "$" in volume else volume.partition(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
    }
    assert named == set(content["volumes"])
    for name in COMPOSE_FILES:
        for service in read(name)["services"].values():
            if "build" in service:
                assert service["build"]["context"] == "."
                assert (ROOT / service["build"]["dockerfile"]).exists()


def test_the_settings_in_the_compose_file_are_known_to_the_processes(services):
    known = {
        "api": ApiSettings.variables(),
        "worker": WorkerSettings.variables(),
        "webhooks": WebhookSettings.variables(),
    }
    for name, aliases in known.items():
        assert set(services[name]["environment"]) <= aliases
    stages = services["worker"]["environment"]["JUKEBOX_STAGES"]
    assert stages == "${JUKEBOX_STAGES:-" + ",".join(Stage) + "}"


def test_every_variable_is_explained():
    used = {
        variable
        for name in COMPOSE_FILES
        for variable in re.findall(r"\$\{([A-Z_]+)", (ROOT / name).read_text())
    }
    read_by_processes = {
        name
        for settings in (ApiSettings, WorkerSettings, WebhookSettings)
        for name in settings.variables()
    }
    for variable in used | read_by_processes:
        assert f"`{variable}`" in README, variable


def test_no_explained_variable_is_made_up():
    explained = set(re.findall(r"`((?:JUKEBOX|REDIS)_[A-Z_]+)`", README)) - {"JUKEBOX_API_KEY"}
    used = {
        variable
        for name in COMPOSE_FILES
        for variable in re.findall(r"\$\{([A-Z_]+)", (ROOT / name).read_text())
    }
    known = {
        name
        for settings in (ApiSettings, WorkerSettings, WebhookSettings)
        for name in settings.variables()
    }
    assert explained <= used | known


def test_webhooks_are_sent_by_a_service_without_a_gpu_and_only_when_asked_for(services):
    webhooks = services["webhooks"]
    assert webhooks["profiles"] == ["webhooks"]
    assert webhooks["image"] == services["api"]["image"]
    assert "deploy" not in webhooks
    assert services["api"]["environment"]["JUKEBOX_WEBHOOKS"] == "${JUKEBOX_WEBHOOKS:-off}"
    assert services["worker"]["networks"] == ["queue"]
    assert importlib.util.find_spec("jobs.webhooks.__main__") is not None
    for line in ("COMPOSE_PROFILES=webhooks", "JUKEBOX_WEBHOOKS=on"):
        assert f"`{line}`" in README


def test_the_runbook_makes_a_key_before_an_api_that_will_not_start_without_one():
    api_image = (ROOT / "deploy" / "Dockerfile.api").read_text()
    assert "JUKEBOX_HOST=0.0.0.0" in api_image
    make_key = "docker compose run --rm --no-deps api jukebox keys create"
    assert 0 < README.index(make_key) < README.index("docker compose up --detach")


def test_the_runbook_claims_no_more_than_was_done():
    assert "never built or started" in README


def test_the_example_of_the_runbook_serves_every_stage(services):
    [example] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    workers = yaml.safe_load(example)["services"]
    served = [w["environment"]["JUKEBOX_STAGES"].split(",") for w in workers.values()]
    assert sorted(stage for stages in served for stage in stages) == sorted(Stage)
    assert workers["worker-fine"]["extends"]["service"] in services
