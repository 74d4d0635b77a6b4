"""Environment variables of the service: few, grouped where rare, and those of earlier releases."""

import logging
import re
from pathlib import Path

import pytest

from api.settings import ApiSettings
from cli.local.child_settings import EARLIER_SETTINGS
from cli.local.stack import StackSettings
from jobs.setting_groups import GROUPS, InvalidSettings, earlier_variables
from jobs.settings import ServiceSettings
from jobs.webhooks.settings import WebhookSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
PROCESSES = (ApiSettings, WorkerSettings, WebhookSettings)
MAX_VARIABLES = 35


@pytest.fixture(autouse=True)
def _only_the_store(monkeypatch):
    for name in {*earlier_variables(*GROUPS), *GROUPS}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://localhost")


def test_an_operator_has_at_most_35_variables_to_know():
    of_processes = {name for each in PROCESSES for name in each.variables()}
    of_commands = {
        name
        for path in (ROOT / "cli").rglob("*.py")
        for name in re.findall(r'envvar="(\w+)"', path.read_text())
    }
    of_compose = {
        name
        for path in (ROOT / "docker-compose.yml", *(ROOT / "deploy").glob("*.yml"))
        for name in re.findall(r"\$\{(JUKEBOX_\w+)", path.read_text())
    }
    names = (of_processes | of_commands | of_compose) - set(EARLIER_SETTINGS)
    assert len(names) <= MAX_VARIABLES, sorted(names)


def test_each_setting_in_a_group_belongs_to_a_process():
    grouped = {name for names in GROUPS.values() for name in names}
    assert grouped <= {name for each in PROCESSES for name in each.model_fields}


@pytest.mark.parametrize("group", GROUPS)
def test_operators_find_every_grouped_setting_in_the_manual(group):
    manual = (ROOT / "deploy" / "README.md").read_text()
    assert [name for name in (group, *GROUPS[group]) if f"`{name}`" not in manual] == []


@pytest.mark.parametrize("settings", [ApiSettings, WorkerSettings, WebhookSettings])
def test_an_empty_variable_is_one_that_is_not_set(monkeypatch, settings):
    """As a line of `.env` without a value; an empty data folder was the current one."""
    monkeypatch.setenv("REDIS_URL", "redis://queue")
    expected = settings.from_environment()
    for name in settings.variables() - {"REDIS_URL"}:
        monkeypatch.setenv(name, "")
    assert settings.from_environment() == expected
    monkeypatch.setenv("REDIS_URL", "")
    with pytest.raises(InvalidSettings, match="REDIS_URL: is not set"):
        settings.from_environment()


def test_one_variable_holds_several_settings(monkeypatch):
    monkeypatch.setenv("JUKEBOX_LIMITS", "max_queued=5, max_streams = 7,")
    monkeypatch.setenv("JUKEBOX_TUNING", "webhook_retries_sec=5 60,sweep_sec=0.5")
    api, sender = ApiSettings.from_environment(), WebhookSettings.from_environment()
    assert (api.max_queued, api.max_streams, api.sweep_sec) == (5, 7, 0.5)
    assert sender.webhook_retries_sec == (5.0, 60.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("max_queue=5", "JUKEBOX_LIMITS: 'max_queue=5' is not name=value with one of max_body"),
        ("5", "JUKEBOX_LIMITS: '5' is not name=value"),
        ("max_queued=5,max_queued=6", "JUKEBOX_LIMITS: max_queued is there twice"),
        ("max_queued=-1", "JUKEBOX_LIMITS: max_queued: Input should be greater than or equal to 0"),
        ("max_queued=many", "JUKEBOX_LIMITS: max_queued: Input should be a valid integer"),
    ],
)
def test_an_impossible_part_of_a_group_is_named(monkeypatch, text, sentence):
    monkeypatch.setenv("JUKEBOX_LIMITS", text)
    with pytest.raises(InvalidSettings, match=re.escape(sentence)):
        ApiSettings.from_environment()


@pytest.mark.parametrize("settings", PROCESSES)
def test_each_grouped_setting_is_read_under_its_earlier_name_with_a_warning(
    monkeypatch, caplog, settings: type[ServiceSettings]
):
    grouped = {name: group for group, names in GROUPS.items() for name in names}
    for name in settings.model_fields.keys() & grouped.keys():
        default = settings.model_fields[name].default
        default = 1 if default is None else default  # decided where it is used
        text = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        monkeypatch.setenv(f"JUKEBOX_{name.upper()}", text)
    if "heartbeat_sec" in settings.model_fields:
        monkeypatch.setenv("JUKEBOX_HEARTBEAT_SEC", "0.25")
    with caplog.at_level(logging.WARNING):
        read = settings.from_environment()
    assert getattr(read, "heartbeat_sec", 0.25) == 0.25
    for name in settings.model_fields.keys() & grouped.keys():
        assert f"JUKEBOX_{name.upper()} will not be read by the next release" in caplog.text


def test_the_new_name_wins_over_the_earlier_one(monkeypatch):
    monkeypatch.setenv("JUKEBOX_LIMITS", "max_queued=5")
    monkeypatch.setenv("JUKEBOX_MAX_QUEUED", "6")
    assert ApiSettings.from_environment().max_queued == 5


@pytest.mark.parametrize(
    ("told", "kept_sec"),
    [
        ({}, (0.0, 0.0)),
        ({"JUKEBOX_RETENTION": "keep_jobs_sec=60"}, (60.0, 0.0)),
        ({"JUKEBOX_RETENTION": "keep_assets_sec=60"}, (0.0, 60.0)),
        ({"JUKEBOX_KEEP_JOBS_SEC": "60"}, (60.0, 0.0)),
    ],
)
def test_a_local_service_throws_away_what_it_was_told_to_and_nothing_else(
    monkeypatch, tmp_path, told, kept_sec
):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    stack = StackSettings(data_dir=tmp_path, models_dir=tmp_path)
    environment = stack.environment("api", "redis://localhost")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = ApiSettings.from_environment()
    assert (read.keep_jobs_sec, read.keep_assets_sec) == kept_sec
