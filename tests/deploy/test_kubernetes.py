"""Every overlay is rendered as `kubectl apply --kustomize` would, and checked."""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from api.settings import ApiSettings
from jobs.record.job import Stage
from worker.settings import WorkerSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
RELEASES = ["1.30", "1.34"]
IN_A_BUCKET = "with object storage"
NOT_KUBERNETES = {"ScaledObject", "PodMonitor"}
"""Kinds of operators, whose schemas are not in Kubernetes' own."""

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which renders the overlays, is not installed"
)


def rendered(folder):
    run = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    return list(yaml.safe_load_all(run.stdout))


@pytest.fixture(scope="module")
def overlays():
    return {name: rendered(FOLDER / "overlays" / name) for name in OVERLAYS}


@pytest.fixture(scope="module")
def everything(tmp_path_factory, overlays):
    """The overlays, and two of somebody's own with the components which no overlay uses."""

    def with_components(overlay, *components):
        place = tmp_path_factory.mktemp("own") / "kubernetes"
        shutil.copytree(FOLDER, place)
        path = place / "overlays" / overlay / "kustomization.yaml"
        lines = [f"  - ../../components/{name}\n" for name in components]
        path.write_text(path.read_text() + "".join(lines))
        return rendered(path.parent)

    return {
        **overlays,
        "with all components": with_components("gpu", "webhooks", "pull-model", "monitoring"),
        IN_A_BUCKET: with_components("gpu-levels", "webhooks", "object-storage"),
    }


def pods(documents):
    """Name and pod specification of everything that runs."""
    for each in documents:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_overlay_is_valid(everything, release):
    for documents in everything.values():
        for each in documents:
            if each["kind"] not in NOT_KUBERNETES:
                kubernetes_validate.validate(each, release, strict=True)


def test_a_wrong_field_is_no_valid_overlay(overlays):
    deployment = next(each for each in overlays["gpu"] if each["kind"] == "Deployment")
    wrong = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, RELEASES[0], strict=True)


def test_every_pod_meets_the_restricted_profile_with_a_read_only_root(everything):
    for documents in everything.values():
        for name, pod in pods(documents):
            spec = pod["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True, name
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert spec["automountServiceAccountToken"] is False, name
            for container in spec["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }, name
                assert "memory" in container["resources"]["limits"], name


def test_no_password_is_in_a_rendered_overlay(everything):
    for documents in everything.values():
        assert "Secret" not in {each["kind"] for each in documents}
        for _, pod in pods(documents):
            for variable in pod["spec"]["containers"][0].get("env", []):
                if "PASSWORD" in variable["name"]:
                    assert "secretKeyRef" in variable["valueFrom"]


def test_every_setting_is_one_that_the_processes_know(everything, monkeypatch):
    for overlay, documents in everything.items():
        settings = next(each["data"] for each in documents if each["kind"] == "ConfigMap")
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("REDIS_URL", "redis://:secret@valkey:6379/0")
        for _, pod in pods(documents):
            for variable in pod["spec"]["containers"][0].get("env", []):
                if variable["name"] == "JUKEBOX_STAGES":
                    monkeypatch.setenv("JUKEBOX_STAGES", variable["value"])
                    assert WorkerSettings.from_environment().stages == (Stage(variable["value"]),)
        assert ApiSettings.from_environment().port == 8000
        place = "s3://jukebox/data" if overlay == IN_A_BUCKET else "/data"
        assert str(ApiSettings.from_environment().data_dir) == place


def test_a_pool_for_each_level_serves_every_stage_once(overlays):
    served = [
        variable["value"]
        for _, pod in pods(overlays["gpu-levels"])
        for variable in pod["spec"]["containers"][0]["env"]
        if variable["name"] == "JUKEBOX_STAGES"
    ]
    assert sorted(served) == sorted(Stage)


def test_every_pool_is_scaled_by_its_own_queue(overlays):
    deployments = {n for n, _ in pods(overlays["gpu-levels"])}
    scaled = [each for each in overlays["gpu-levels"] if each["kind"] == "ScaledObject"]
    assert len(scaled) == len(Stage)
    for each in scaled:
        target = each["spec"]["scaleTargetRef"]["name"]
        assert target in deployments
        stage = target.removeprefix("worker-")
        (trigger,) = each["spec"]["triggers"]
        assert trigger["metadata"]["query"] == f'max(jukebox_queue_messages{{stage="{stage}"}})'
        assert each["spec"]["minReplicaCount"] >= 1


def test_a_changed_setting_rolls_every_pod_that_reads_it(everything):
    for documents in everything.values():
        name = next(each["metadata"]["name"] for each in documents if each["kind"] == "ConfigMap")
        assert name.startswith("settings-")
        for pod_name, pod in pods(documents):
            for source in pod["spec"]["containers"][0].get("envFrom", []):
                if "configMapRef" in source:
                    assert source["configMapRef"]["name"] == name, pod_name


def test_a_gpu_worker_has_a_card_of_its_own_and_a_cpu_worker_none(overlays):
    def cards(name):
        return {
            pod_name: pod["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
            for pod_name, pod in pods(overlays[name])
            if pod_name.startswith("worker")
        }

    assert cards("one-node") == {"worker": None}
    assert cards("gpu") == {"worker": "1"}
    assert cards("gpu-levels") == {
        "worker-top": "1",
        "worker-middle": "1",
        "worker-bottom": "1",
        "worker-render": None,
    }


def test_with_object_storage_pods_share_no_volume_and_have_its_credentials(everything):
    documents = everything[IN_A_BUCKET]
    claims = [each for each in documents if each["kind"] == "PersistentVolumeClaim"]
    assert claims == []
    using = [(n, pod["spec"]) for n, pod in pods(documents) if n not in ("valkey", "pull-model")]
    assert {n for n, _ in using} == {"api", "webhooks"} | {f"worker-{stage}" for stage in Stage}
    for name, spec in using:
        assert {frozenset(each) for each in spec["volumes"]} == {frozenset({"name", "emptyDir"})}, (
            name
        )
        sources = spec["containers"][0]["envFrom"]
        assert {"secretRef": {"name": "jukebox-bucket", "optional": True}} in sources, name


def test_only_the_sender_of_webhooks_and_the_download_reach_other_hosts(everything):
    for overlay, documents in everything.items():
        open_to_the_world = {
            each["metadata"]["name"]
            for each in documents
            if each["kind"] == "NetworkPolicy"
            for rule in each["spec"].get("egress", [])
            for peer in rule["to"]
            if "ipBlock" in peer
        }
        bucket = {"to-bucket"} if overlay == IN_A_BUCKET else set()
        assert open_to_the_world <= {"webhooks", "pull-model"} | bucket
        denied = next(d for d in documents if d["metadata"]["name"] == "default-deny")
        assert denied["spec"]["podSelector"] == {}
        assert sorted(denied["spec"]["policyTypes"]) == ["Egress", "Ingress"]


def test_budgets_and_services_choose_pods_that_exist(everything):
    for documents in everything.values():
        labels = [pod["metadata"]["labels"] for _, pod in pods(documents)]
        for each in documents:
            spec = each.get("spec", {})
            if each["kind"] == "PodDisruptionBudget":
                wanted = spec["selector"]["matchLabels"]
            elif each["kind"] == "Service":
                wanted = spec["selector"]
            else:
                continue
            assert any(wanted.items() <= found.items() for found in labels), each["metadata"]


def test_one_node_can_be_drained(overlays):
    budgets = {e["metadata"]["name"] for e in overlays["one-node"] if e["kind"].endswith("Budget")}
    assert "api" not in budgets
    for each in overlays["one-node"]:
        if each["kind"] == "PersistentVolumeClaim":
            assert each["spec"]["accessModes"] == ["ReadWriteOnce"]
