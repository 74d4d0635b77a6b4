# What check.sh runs inside the engine's namespaces, in the checkout's copy at /w/src: one function for each
# step. Commands of deploy/README.md are read from that page and run as they stand there.
set -euo pipefail
cd /w/src
URL=http://127.0.0.1:8000

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# The Nth shell block of a section of the page, with what only a person can know filled in.
page() {
    awk -v section="## $1" -v wanted="$2" '
        /^## /      { inside = ($0 == section) }
        /^```sh$/   { if (inside) { block++; printing = (block == wanted); next } }
        /^```$/     { printing = 0 }
        printing    { print }
    ' deploy/README.md | sed -e "s|\$(sh deploy/version.sh)|$VERSION|" -e "s|\$(git rev-parse HEAD)|$REVISION|" \
        -e "s|docker compose build|& --progress plain --build-arg TORCH_INDEX_URL=$INDEX/|" -e 's/sudo //' \
        -e '/^git pull$/d' >/w/commands.sh
    [ -s /w/commands.sh ] || fail "deploy/README.md has no block $2 in \"$1\""
    cat /w/commands.sh
}

setting() {
    sed -i "/^${1%%=*}=/d" .env
    echo "$1" >>.env
}

overlays() {
    local name files=docker-compose.yml
    for name in "$@"; do files=$files:deploy/docker-compose.$name.yml; done
    setting "COMPOSE_FILE=$files"
}

up() {
    docker compose up --detach --wait "$@" >/w/up.log 2>&1 && return
    tail -5 /w/up.log
    docker compose ps --all
    docker ps --quiet --filter health=unhealthy | xargs --no-run-if-empty \
        docker inspect -f '{{.Name}}{{range .State.Health.Log}} {{.Start}} {{.ExitCode}} {{.Output}}{{end}}'
    return 1
}

ask() { curl -fsS -H "Authorization: Bearer $(cat /w/key)" "$@"; }

# Posts a song and prints its id; more fields as JSON.
post() {
    jq -n '{model: "mini", artist: "orlavane", genre: "tidedub", lyrics: "Is anybody there?", duration_seconds: 20, seed: 7}
        + {'"${1:-}"'}' | ask $URL/jobs -H 'Content-Type: application/json' -d @- | jq -r .id
}

ended() {
    local tries status
    for tries in $(seq 60); do
        status=$(ask "$URL/jobs/$1?wait=10" 2>/dev/null | jq -r .status) || { sleep 1; continue; }
        case $status in
            succeeded) return 0 ;;
            failed | canceled | expired) fail "$1 is $status: $(ask $URL/jobs/$1 | jq -c .error)" ;;
        esac
    done
    fail "$1 does not end"
}

begun() {
    local tries
    for tries in $(seq 300); do
        ask "$URL/jobs/$1" 2>/dev/null | jq -e '.progress.value > 0' >/dev/null && return 0
        sleep 0.2
    done
    fail "$1 does not begin"
}

sum() { ask "$URL/jobs/$1/audio" | sha256sum | cut -c1-16; }

same_song() {
    ended "$1"
    [ "$(sum "$1")" = "$(cat /w/song)" ] || fail "$1 is another song: $(sum "$1") instead of $(cat /w/song)"
}

kill_container() { kill -9 "$(docker inspect -f '{{.State.Pid}}' "jukebox-$1-1")"; }

step_clean() {
    [ ! -e .env ] || docker compose --profile '*' down --volumes --remove-orphans >/dev/null 2>&1 || true
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null
    docker volume ls --quiet --filter name=jukebox_ | xargs --no-run-if-empty docker volume rm >/dev/null
    rm -f .env backup-*.tgz /w/key deploy/monitoring/api-key
}

# The first start as the page has it, up to a service that answers.
step_first_start() {
    page "First start" 1 | head -1 >/w/first.sh
    page "First start" 2 >>/w/first.sh
    page "First start" 1 | tail -n +2 >>/w/first.sh
    bash -euo pipefail /w/first.sh >/w/first.log 2>&1 || { tail -20 /w/first.log; fail "first start"; }
    grep -oE 'jbx_[A-Za-z0-9_.-]+' /w/first.log | head -1 >/w/key
    [ "$(stat -c %a .env)" = 600 ] || fail ".env is readable by others"
    echo "images: $(docker images --format '{{.Repository}} {{.Size}}' --filter 'reference=jukebox-*' | sort -u | tr '\n' ' ')"
    docker tag jukebox-api jukebox-api:new
    docker tag jukebox-worker-cpu jukebox-worker-cpu:new
}

# From the start of a container to the end of its first check that succeeds.
step_healthy_in_time() {
    local name seconds
    for name in redis api worker; do
        seconds=$(docker inspect "jukebox-$name-1" | jq '
            def at: .[0:19] + "Z" | fromdateiso8601;
            .[0].State | (.StartedAt | at) as $start | [.Health.Log[] | select(.ExitCode == 0) | .End | at - $start][0]')
        echo "$name healthy after $seconds s: $(docker inspect -f '{{range .State.Health.Log}}{{.Output}}{{end}}' "jukebox-$name-1" | grep . | tail -1)"
        [ "$seconds" -le 30 ] || fail "$name needs $seconds s"
    done
}

step_images() {
    local image bytes
    for image in jukebox-api jukebox-worker-cpu; do
        bytes=$(docker inspect -f '{{.Size}}' $image)
        [ "$(docker inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' $image)" = "$VERSION" ] ||
            fail "the label of $image is not $VERSION"
        [[ "$(docker run --rm $image jukebox --version)" == *"$VERSION"* ]] || fail "$image is not $VERSION inside"
        docker run --rm $image cat /opt/jukebox/sbom.cdx.json >/w/sbom.json
        jq -e '.bomFormat == "CycloneDX" and (.components | length) > 100' /w/sbom.json >/dev/null || fail "SBOM of $image"
        jq -e '[.components[].name | select(test("^(nvidia|cuda|triton)"))] | length == 0' /w/sbom.json >/dev/null ||
            fail "$image holds CUDA"
        echo "$image: $((bytes / 1000000)) MB, $(jq '.components | length' /w/sbom.json) components"
        [ "$bytes" -lt 1800000000 ] || fail "$image is too large"
    done
    [ "$(ask $URL/system | jq -r .version)" = "$VERSION" ] || fail "GET /system tells another version"
}

# A change of code must not install the dependencies anew.
step_layers() {
    local name
    echo "# changed" >>jukebox_core/units.py
    docker compose --progress plain build --build-arg VERSION=1 --build-arg "TORCH_INDEX_URL=$INDEX/" >/w/layers.log 2>&1
    sed -i '$d' jukebox_core/units.py
    name=$(grep -cE '^#[0-9]+ CACHED' /w/layers.log)
    ! grep -E '^#[0-9]+ [0-9.]+ .*(Collecting|Downloading) (torch|fastapi|celery)' /w/layers.log || fail "dependencies again"
    echo "$name layers from the cache after a change of code"
    docker tag jukebox-api:new jukebox-api
    docker tag jukebox-worker-cpu:new jukebox-worker-cpu
}

step_rights() {
    local name status
    for name in redis api worker; do
        status=$(docker exec "jukebox-$name-1" cat /proc/self/status)
        echo "$status" | grep -qE '^CapEff:\s0+$' || fail "$name has capabilities"
        echo "$status" | grep -qE '^NoNewPrivs:\s1$' || fail "$name may gain privileges"
        echo "$status" | grep -qE '^Uid:\s0' && fail "$name is root"
        docker exec "jukebox-$name-1" touch /etc/x 2>/dev/null && fail "$name writes to its root"
        docker inspect "jukebox-$name-1" | jq -e '.[0].HostConfig | .Memory > 0 and .LogConfig.Config["max-size"] == "20m"' \
            >/dev/null || fail "$name has no limits"
    done
    docker exec jukebox-worker-1 touch /models/x 2>/dev/null && fail "the worker writes models"
    echo "no capabilities, no root, no writes, bounded memory and logs"
}

step_no_egress() {
    local connect='import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)'
    docker exec jukebox-api-1 python -c "$connect" 172.17.0.1 9999 || fail "the API reaches nobody"
    for name in worker redis; do
        docker exec "jukebox-$name-1" cat /proc/net/route | awk '$2 == "00000000"' | grep -q . && fail "$name has a way out"
    done
    docker exec jukebox-worker-1 python -c "$connect" 172.17.0.1 9999 2>/dev/null && fail "the worker reaches the outside"
    docker exec jukebox-worker-1 python -c "$connect" redis 6379 || fail "the worker does not reach Redis"
    echo "the worker reaches Redis and nobody else"
}

step_song() {
    local job
    job=$(post)
    ended "$job"
    sum "$job" >/w/song
    echo "song $(cat /w/song)"
}

step_kills() {
    local job name
    for name in worker redis api; do
        job=$(post)
        begun "$job"
        kill_container $name
        same_song "$job"
        echo "same song after kill -9 of $name"
    done
}

step_down_up() {
    local job
    job=$(post)
    begun "$job"
    docker compose down >/dev/null 2>&1
    up
    same_song "$job"
    echo "same song after down and up in its middle"
}

step_two_workers() {
    local first second
    up --scale worker=2
    [ "$(ask $URL/system | jq '.workers | length')" = 2 ] || sleep 5
    [ "$(ask $URL/system | jq '.workers | length')" = 2 ] || fail "two workers are not seen"
    first=$(post) second=$(post)
    begun "$first"
    kill_container worker
    same_song "$first"
    same_song "$second"
    up --scale worker=1
    echo "two workers; both songs after kill -9 of one"
}

step_models() {
    local pull="docker compose run --rm --volume /w/src/tests:/checkout/tests:ro
        --env PYTHONPATH=/checkout/tests/containers/small_models:/checkout
        --env JUKEBOX_WEIGHTS_URL=$INDEX/models --env JUKEBOX_LABELS_URL=$INDEX/ids models"
    page "Models" 1 >/w/models.sh
    grep -qF 'docker compose run --rm models pull 1b_lyrics --accept-license' /w/models.sh || fail "the page pulls otherwise"
    ! $pull pull 1b_lyrics >/w/pull.log 2>&1 || fail "nobody accepted the license"
    grep -q 'noncommercial\|no commercial use' /w/pull.log || { cat /w/pull.log; fail "the license is not told"; }
    $pull pull 1b_lyrics --accept-license >/w/pull.log 2>&1 || { tail /w/pull.log; fail "pull"; }
    $pull verify 1b_lyrics >/w/pull.log 2>&1 || { tail /w/pull.log; fail "verify"; }
    docker compose run --rm models list --json >/w/models.json 2>/dev/null
    jq -e '.[] | select(.name == "1b_lyrics") | .state == "ready"' /w/models.json >/dev/null || fail "the list lacks it"
    ask $URL/models >/w/models.json
    jq -e '[.. | objects | select(.name? == "1b_lyrics") | .state] == ["ready"]' /w/models.json >/dev/null ||
        { jq -c . /w/models.json | cut -c1-300; fail "the API does not offer it"; }
    echo "1b_lyrics (small) fetched, converted, verified and offered"
}

step_webhooks() {
    local job tries
    setting JUKEBOX_WEBHOOKS=on
    setting COMPOSE_PROFILES=webhooks
    setting JUKEBOX_WEBHOOK_ALLOWED_HOSTS=receiver:8080
    up
    docker run --detach --name receiver --network jukebox_web --volume /w/src/tests/containers/receiver.py:/receiver.py:ro \
        python:3.11-slim-bookworm python3 /receiver.py >/dev/null
    job=$(post '"webhook_url": "http://receiver:8080/"')
    ended "$job"
    for tries in $(seq 60); do
        docker logs receiver >/w/receiver.log 2>&1
        grep -q 'job.succeeded signed' /w/receiver.log && break
        sleep 0.5
    done
    grep -q 'job.succeeded signed' /w/receiver.log || { cat /w/receiver.log; fail "no webhook came"; }
    docker rm --force receiver >/dev/null
    docker compose rm --force --stop webhooks >/dev/null 2>&1
    sed -i '/WEBHOOK/d; /COMPOSE_PROFILES/d' .env
    echo "webhook job.succeeded delivered, signed"
}

# The key of Prometheus belongs to its user and is readable by nobody else.
step_monitoring() {
    local tries targets
    promtool check rules deploy/monitoring/alerts.yml >/dev/null
    promtool test rules deploy/monitoring/tests/alerts_test.yml >/w/promtool.log || { cat /w/promtool.log; fail alerts; }
    overlays cpu monitoring
    page "Figures" 1 | sed 's/docker compose up .*/& prometheus/' >/w/monitoring.sh
    bash -euo pipefail /w/monitoring.sh >/w/monitoring.log 2>&1 || { tail /w/monitoring.log; fail "monitoring"; }
    [ "$(stat -c '%a %u' deploy/monitoring/api-key)" = "400 65534" ] || fail "the key is readable by others"
    for tries in $(seq 60); do
        targets=$(curl -fsS http://127.0.0.1:9090/api/v1/targets | jq -r '[.data.activeTargets[] | .labels.job + "=" + .health] | unique | join(" ")') || true
        [ "$targets" = "jukebox-api=up jukebox-worker=up" ] && break
        sleep 1
    done
    [ "$targets" = "jukebox-api=up jukebox-worker=up" ] || fail "Prometheus sees $targets"
    curl -fsS 'http://127.0.0.1:9090/api/v1/query?query=jukebox_jobs_total{outcome="failed",code="out_of_memory"}' --globoff |
        jq -e '[.data.result[].value[1]] | length >= 2 and all(. == "0")' >/dev/null || fail "counters are not at 0"
    docker compose rm --force --stop prometheus >/dev/null 2>&1
    overlays cpu
    echo "alerts tested; Prometheus reads $targets"
}

step_tls() {
    local certificate=/w/root.crt
    overlays cpu tls
    setting JUKEBOX_DOMAIN=localhost
    up
    docker compose cp caddy:/data/caddy/pki/authorities/local/root.crt $certificate >/dev/null 2>&1
    curl -fsS --cacert $certificate https://localhost/readyz | jq -e '.status' >/dev/null || fail "TLS"
    curl -sS https://localhost/readyz >/dev/null 2>&1 && fail "an unknown certificate was trusted"
    [ "$(curl -s -o /dev/null -w '%{http_code} %{redirect_url}' http://localhost/readyz)" = "308 https://localhost/readyz" ] ||
        fail "http is not redirected"
    curl -fsS --cacert $certificate -H "Authorization: Bearer $(cat /w/key)" https://localhost/jobs?limit=1 >/w/tls.json
    echo "TLS by Caddy's own authority: $(jq -r '[.. | .self? // empty][0]' /w/tls.json)"
    docker compose rm --force --stop caddy >/dev/null 2>&1
    sed -i '/JUKEBOX_DOMAIN/d' .env
    overlays cpu
    up
}

# Backup and restore with the commands of the page; in between everything is lost.
step_backup() {
    local done_before running
    done_before=$(post)
    ended "$done_before"
    running=$(post)
    begun "$running"
    page "Backup" 1 >/w/backup.sh
    bash -euo pipefail /w/backup.sh >/w/backup.log 2>&1 || { tail /w/backup.log; fail backup; }
    [ "$(stat -c %a backup-data.tgz)" = 600 ] || fail "the backup is readable by others"
    docker compose down --volumes >/dev/null 2>&1
    page "Backup" 2 >/w/restore.sh
    bash -euo pipefail /w/restore.sh >/w/restore.log 2>&1 || { tail /w/restore.log; fail restore; }
    same_song "$done_before"
    same_song "$running"
    echo "backup and restore: old and running song, keys, all there"
}

# The stack from nothing with the overlay for object storage: keys, songs and a model are in buckets.
step_bucket() {
    local job
    docker compose down --volumes >/dev/null 2>&1
    overlays cpu
    sed -i '/^COMPOSE_FILE=/s|$|:tests/containers/docker-compose.s3.yml|' .env
    setting COMPOSE_PROFILES=webhooks
    up s3
    docker compose exec --no-TTY s3 python -c 'import boto3
boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1",
    aws_access_key_id="key", aws_secret_access_key="secret").create_bucket(Bucket="my-bucket")'
    page "Object storage" 1 | sed -e 's|KEY_ID=.*|KEY_ID=key|; s|ACCESS_KEY=.*|ACCESS_KEY=secret|' \
        -e 's|https://minio.example.com|http://s3:9000|' >/w/bucket.sh
    bash -euo pipefail /w/bucket.sh >/w/bucket.log 2>&1 || { tail -20 /w/bucket.log; fail "object storage"; }
    grep -oE 'jbx_[A-Za-z0-9_.-]+' /w/bucket.log | head -1 >/w/key
    docker compose run --rm --no-deps --env JUKEBOX_DATA_DIR=s3://none/x api jukebox keys list >/w/bucket.log 2>&1 &&
        fail "keys without a bucket"
    grep -q 'there is no bucket for s3://none/x' /w/bucket.log || { tail /w/bucket.log; fail "no sentence"; }
    job=$(post)
    begun "$job"
    kill_container worker
    same_song "$job"
    [ "$(docker exec jukebox-worker-1 ls /data)" = cache ] || fail "/data holds more than the cache"
    echo "same song after kill -9 of a worker that keeps it in a bucket"
    docker compose rm --force --stop api worker webhooks >/dev/null 2>&1
    docker volume rm jukebox_data >/dev/null
    up
    same_song "$job"
    echo "song and key are there after the loss of the cache"
    bucket_redirects "$job"
    bucket_models
    docker compose down --volumes >/dev/null 2>&1
    sed -i '/AWS_/d; /COMPOSE_PROFILES/d; /JUKEBOX_DATA_DIR/d; /JUKEBOX_MODELS_DIR/d' .env
    overlays cpu
}

bucket_redirects() {
    local address
    setting JUKEBOX_TUNING=downloads=redirect
    up
    address=$(docker inspect -f '{{.NetworkSettings.Networks.jukebox_web.IPAddress}}' jukebox-s3-1)
    ask --location --connect-to "s3:9000:$address:9000" --dump-header /w/headers "$URL/jobs/$1/audio" >/w/redirected
    grep -q '^HTTP/1.1 307' /w/headers || fail "the API does not send to the bucket"
    [ "$(sha256sum </w/redirected | cut -c1-16)" = "$(cat /w/song)" ] || fail "the bucket sends another song"
    grep -qi '^content-disposition: attachment; filename="orlavane' /w/headers || { cat /w/headers; fail "no name"; }
    echo "the bucket itself sends the song, under its name"
    sed -i '/JUKEBOX_TUNING/d' .env
}

# A copy of the bundled model, put into the bucket as the guide has it.
bucket_models() {
    local tries job
    docker compose run --rm --no-deps --no-TTY --entrypoint python worker - >/w/bucket.log 2>&1 <<'PYTHON' || { tail /w/bucket.log; fail "no model sent"; }
import hashlib, pathlib
from jukebox_core.buckets import Bucket, BucketUrl
from jukebox_core.models.catalog import BUNDLED_MODELS

bucket, sums = Bucket(BucketUrl("s3://my-bucket/models")), ""
for path in (BUNDLED_MODELS / "mini").rglob("*"):
    if path.is_file():
        bucket.upload(f"copied/{path.relative_to(BUNDLED_MODELS / 'mini')}", path)
        if path.suffix == ".safetensors":
            sums += f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
bucket.write("copied/SHA256SUMS", sums.encode())
PYTHON
    setting JUKEBOX_MODELS_DIR=s3://my-bucket/models
    up
    for tries in $(seq 90); do
        ask $URL/models | jq -e '[.. | objects | select(.name? == "copied") | .state] == ["ready"]' >/dev/null && break
        sleep 1
    done
    job=$(post '"model": "copied"')
    same_song "$job"
    docker exec jukebox-worker-1 ls /data/cache/jukebox >/w/bucket.log
    echo "same song by a model from the bucket ($(tr '\n' ' ' </w/bucket.log)in the cache)"
}

# From the images of the release before, in the middle of a song.
step_upgrade() {
    local job
    docker compose down --volumes >/dev/null 2>&1
    cp .env /w/old/.env
    docker tag jukebox-api:old jukebox-api
    docker tag jukebox-worker-cpu:old jukebox-worker-cpu
    cd /w/old
    docker compose run --rm --no-deps api jukebox keys create me 2>/dev/null | grep -oE 'jbx_[A-Za-z0-9_.-]+' >/w/key
    docker compose up --detach --wait >/w/old.log 2>&1 || { tail /w/old.log; fail "the old release"; }
    job=$(post)
    begun "$job"
    cd /w/src
    page "Upgrade" 1 >/w/upgrade.sh
    bash -euo pipefail /w/upgrade.sh >/w/upgrade.log 2>&1 || { tail -20 /w/upgrade.log; fail "the upgrade"; }
    [ "$(ask $URL/system | jq -r .version)" = "$VERSION" ] || fail "the new API is not there"
    ended "$job"
    # 2 where Valkey was replaced as well: the worker could not tell it that it stops.
    [ "$(ask "$URL/jobs/$job" | jq .attempt)" -le 2 ] || fail "the upgrade counted as several crashes"
    echo "upgraded from $OLD in the middle of a song, which ended (same as a new one: $([ "$(sum "$job")" = "$(cat /w/song)" ] && echo yes || echo no))"
}

step_no_gpu() {
    docker run --detach --name no-gpu --restart unless-stopped --env JUKEBOX_DEVICE=cuda --env REDIS_URL=redis://nowhere \
        jukebox-worker-cpu >/dev/null
    sleep 30
    docker logs no-gpu >/w/no-gpu.log 2>&1
    local restarts
    restarts=$(docker inspect -f '{{.RestartCount}}' no-gpu)
    docker rm --force no-gpu >/dev/null
    grep -q '^The worker cannot start. JUKEBOX_DEVICE=cuda: ' /w/no-gpu.log || { cat /w/no-gpu.log; fail "no sentence"; }
    ! grep -q Traceback /w/no-gpu.log || fail "a traceback"
    [ "$(wc -l </w/no-gpu.log)" -le $((restarts + 1)) ] || fail "more than one line for each start"
    echo "a worker without its GPU: one sentence, $restarts restarts in 30 s"
}

step_private_models() {
    mkdir -p /w/private
    chmod 700 /w/private
    setting JUKEBOX_MODELS=/w/private
    up
    for name in api worker; do
        docker compose logs $name >/w/private.log 2>&1
        grep -q 'models folder /models cannot be read by user 10001' /w/private.log || fail "$name says nothing"
    done
    sed -i '/JUKEBOX_MODELS/d' .env
    up
    echo "a models folder of mode 0700 is said by API and worker"
}

for step in "$@"; do
    SECONDS=0
    echo "== $step"
    "step_$step"
    echo "   $SECONDS s"
done
