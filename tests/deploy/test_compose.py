"""The compose files as far as they can be judged without a container engine."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from api.settings import ApiSettings
from jobs.record.job import Stage
from jobs.webhooks.settings import WebhookSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text()
NAMES = ("cpu", "bucket", "gpus", "monitoring", "tls")
OVERLAYS = [f"deploy/docker-compose.{name}.yml" for name in NAMES]
COMPOSE_FILES = ["docker-compose.yml", *OVERLAYS]
OURS = ["redis", "api", "worker", "webhooks", "models"]
FIXED = {
    "api": {"REDIS_URL", "JUKEBOX_DATA_DIR", "JUKEBOX_MODELS_DIR", "JUKEBOX_HOST", "JUKEBOX_PORT"},
    "worker": {
        *("REDIS_URL", "JUKEBOX_DATA_DIR", "JUKEBOX_MODELS_DIR", "JUKEBOX_HEALTH_FILE"),
        *("JUKEBOX_METRICS_HOST", "JUKEBOX_METRICS_PORT"),
    },
    "webhooks": {"REDIS_URL", "JUKEBOX_DATA_DIR", "JUKEBOX_HEALTH_FILE"},
}
"""What only the compose file can know; everything else may be put into `.env`."""
PROCESSES = {"api": ApiSettings, "worker": WorkerSettings, "webhooks": WebhookSettings}


class ComposeLoader(yaml.SafeLoader):
    """Knows the two tags with which Compose takes things out of the file before."""


for tag in ("!reset", "!override"):
    ComposeLoader.add_constructor(
        tag, lambda loader, node: loader.construct_sequence(node, deep=True)
    )


def read(name):
    return yaml.load((ROOT / name).read_text(), ComposeLoader)


COMPOSE_PROGRAMS = (["docker", "compose"], ["docker-compose"])


def compose_program() -> list[str]:
    """The command that runs Docker Compose here, or nothing."""
    for command in COMPOSE_PROGRAMS:
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    return []


def has_compose() -> bool:
    return bool(compose_program())


def render(folder: Path, env_file: dict[str, str], *overlays: str) -> dict[str, dict]:
    """The services as Compose understands them in a checkout with this `.env`."""
    for name in COMPOSE_FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in env_file.items()))
    names = ["docker-compose.yml", *(f"deploy/docker-compose.{name}.yml" for name in overlays)]
    files = [word for name in names for word in ("-f", name)]
    done = subprocess.run(
        [*compose_program(), *files, "--profile", "*", "config"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


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
    assert overlay["models"] == {"image": "jukebox-worker-cpu"}
    assert set(overlay) == {"worker", "models"}


@pytest.mark.parametrize("name", ["redis", "api", "worker", "webhooks"])
def test_every_service_is_watched_and_starts_again(services, name):
    check = services[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check)
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert services[name]["restart"] == "unless-stopped"


def test_health_checks_ask_what_exists(services):
    assert services["worker"]["healthcheck"]["test"] == ["CMD", "python", "-m", "worker.health"]
    assert importlib.util.find_spec("worker.health") is not None
    assert services["api"]["healthcheck"]["test"] == [
        "CMD",
        "python",
        "-m",
        "api.health",
        "/readyz",
    ]
    assert importlib.util.find_spec("api.health") is not None
    assert any('"/readyz"' in path.read_text() for path in (ROOT / "api").rglob("*.py"))


@pytest.mark.parametrize("name", ["api", "worker", "webhooks"])
def test_nothing_starts_before_redis_answers(services, name):
    assert services[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", OURS)
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


def test_every_overlay_is_tested_and_listed_in_the_page():
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "deploy").glob("*.yml")} == {*OVERLAYS}
    for name in OVERLAYS:
        assert f"`{Path(name).name}`" in README


def test_every_gpu_of_the_overlay_has_a_worker_of_its_own():
    workers = read("deploy/docker-compose.gpus.yml")["services"]
    ids = []
    for name, worker in workers.items():
        [device] = worker["deploy"]["resources"]["reservations"]["devices"]
        assert device["driver"] == "nvidia"
        assert "count" not in device
        ids += device["device_ids"]
        if name != "worker":
            assert worker["extends"] == {"file": "docker-compose.yml", "service": "worker"}
            # Prometheus asks for this name.
            assert worker["networks"]["queue"]["aliases"] == ["worker"]
    assert len(workers) == len(ids) == len(set(ids)) == 2


def test_only_one_service_writes_models_and_only_by_hand(services):
    models = services["models"]
    assert models["profiles"] == ["models"]
    assert models["entrypoint"] == ["jukebox", "models"]
    assert models["image"] == services["worker"]["image"]
    assert models["volumes"] == ["${JUKEBOX_MODELS:-models}:/models"]
    # It has to reach the internet, and nothing of the stack.
    assert models["networks"] == ["web"]
    cpu = read("deploy/docker-compose.cpu.yml")["services"]
    assert cpu["models"]["image"] == cpu["worker"]["image"]
    for name, service in services.items():
        mounts = [
            v for v in service.get("volumes", []) if ":/models" in v and not v.endswith(":ro")
        ]
        assert bool(mounts) == (name == "models")


def test_logs_and_memory_are_bounded_everywhere():
    for name in COMPOSE_FILES:
        for service_name, service in read(name)["services"].items():
            if "image" in service and "build" not in service and name != OVERLAYS[0]:
                assert service["mem_limit"], service_name
                assert {"max-size", "max-file"} == set(service["logging"]["options"]), service_name
    services = read("docker-compose.yml")["services"]
    for name in OURS:
        assert services[name]["mem_limit"], name
        assert services[name]["logging"]["driver"] == "json-file", name


def test_a_full_redis_refuses_before_it_is_killed(services):
    assert option(services["redis"]["command"], "--maxmemory") == "1gb"
    assert services["redis"]["mem_limit"] == "2g"


def test_what_must_not_be_committed_is_ignored_by_git():
    for name in (".env", "backup-redis.tgz", "deploy/monitoring/api-key"):
        done = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False)
        assert done.returncode == 0, name


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


@pytest.mark.parametrize("name", FIXED)
def test_every_setting_but_fixed_ones_may_be_put_into_the_env_file(services, name):
    service = services[name]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    fixed = set(service["environment"])
    assert fixed == FIXED[name]
    assert fixed <= PROCESSES[name].variables()
    # A value that Compose takes from elsewhere would hide the one in the file.
    for variable, value in service["environment"].items():
        assert "$" not in str(value) or variable == "REDIS_URL"


@pytest.mark.skipif(not has_compose(), reason="Docker Compose is not installed")
class TestRendered:
    """What Compose itself makes of the files."""

    def test_settings_of_the_env_file_arrive_and_fixed_ones_stay(self, tmp_path):
        given = {name: "7" for each in PROCESSES.values() for name in each.variables()}
        given |= {"REDIS_PASSWORD": "secret", "JUKEBOX_PORT": "9000"}
        services = render(tmp_path, given)
        for name, settings in PROCESSES.items():
            environment = services[name]["environment"]
            for variable in settings.variables() - FIXED[name]:
                assert environment[variable] == "7", variable
            assert environment["REDIS_URL"] == "redis://:secret@redis:6379/0"
            assert environment["JUKEBOX_DATA_DIR"] == "/data"
        assert services["api"]["environment"]["JUKEBOX_PORT"] == "8000"
        assert services["api"]["ports"][0]["published"] == "9000"

    def test_two_workers_have_two_gpus(self, tmp_path):
        services = render(tmp_path, {"REDIS_PASSWORD": "secret"}, "gpus")
        devices = {
            name: service["deploy"]["resources"]["reservations"]["devices"]
            for name, service in services.items()
            if "worker" in name
        }
        assert {name: [d["device_ids"] for d in each] for name, each in devices.items()} == {
            "worker": [["0"]],
            "worker-1": [["1"]],
        }
        first, second = services["worker"], services["worker-1"]
        assert first["image"] == second["image"]
        assert first["environment"] == second["environment"]
        assert second["networks"] == {"queue": {"aliases": ["worker"]}}

    def test_files_in_a_bucket_are_found_by_every_process_with_its_credentials(self, tmp_path):
        given = {"REDIS_PASSWORD": "secret", "AWS_ACCESS_KEY_ID": "key"}
        given |= {"JUKEBOX_DATA_DIR": "s3://songs/a", "JUKEBOX_MODELS_DIR": "s3://songs/models"}
        services = render(tmp_path, given, "bucket")
        for name in PROCESSES:
            environment = services[name]["environment"]
            assert environment["JUKEBOX_DATA_DIR"] == "s3://songs/a"
            assert environment["AWS_ACCESS_KEY_ID"] == "key"
            assert set(services[name]["networks"]) == {"queue", "web"}
        assert services["worker"]["environment"]["JUKEBOX_MODELS_DIR"] == "s3://songs/models"

    def test_overlays_go_together(self, tmp_path):
        given = {"REDIS_PASSWORD": "secret", "JUKEBOX_DOMAIN": "localhost"}
        services = render(tmp_path, given, "cpu", "monitoring", "tls")
        assert "reservations" not in services["worker"].get("deploy", {}).get("resources", {}) or (
            not services["worker"]["deploy"]["resources"]["reservations"].get("devices")
        )
        assert services["models"]["image"] == "jukebox-worker-cpu"
        assert services["api"]["environment"]["FORWARDED_ALLOW_IPS"] == "*"
        assert {"caddy", "prometheus", "grafana"} <= set(services)


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
    assert services["worker"]["networks"] == ["queue"]
    assert importlib.util.find_spec("jobs.webhooks.__main__") is not None
    for line in ("COMPOSE_PROFILES=webhooks", "JUKEBOX_WEBHOOKS=on"):
        assert f"`{line}`" in README


def test_the_runbook_makes_a_key_before_an_api_that_will_not_start_without_one():
    api_image = (ROOT / "deploy" / "Dockerfile.api").read_text()
    assert "JUKEBOX_HOST=0.0.0.0" in api_image
    make_key = "docker compose run --rm --no-deps api jukebox keys create"
    assert 0 < README.index(make_key) < README.index("docker compose up --detach")


def test_the_example_of_the_runbook_serves_every_stage():
    [example] = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    workers = yaml.safe_load(example)["services"]
    served = [w["environment"]["JUKEBOX_STAGES"].split(",") for w in workers.values()]
    assert sorted(stage for stages in served for stage in stages) == sorted(Stage)
    assert set(workers) == set(read("deploy/docker-compose.gpus.yml")["services"])
