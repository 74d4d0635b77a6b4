#!/usr/bin/env bash
# `make containers`: builds the images and does what deploy/README.md describes, with a real Docker Engine
# in namespaces of its own. Needs root on Debian; nothing runs on afterwards.
#
#   check.sh [STEP ...]     all steps (steps.sh) without names; then checked.sha256 is written
#   check.sh --if-changed   nothing if what images and stack are made of is as checked.sha256 says
#
#   CONTAINERS_WORK         folder of the engine, base image and image layers, kept for the next run
#   CONTAINERS_FROM         commit or tag to upgrade from: the latest tag, or the commit below
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
cd "$HERE/../.."
WORK=${CONTAINERS_WORK:-/var/tmp/jukebox-containers}
STEPS=(clean first_start healthy_in_time images rights no_egress song kills down_up two_workers models webhooks
    monitoring tls backup private_models no_gpu layers bucket upgrade clean)
# Before the first tag there is no release; this is one from before settings were put together.
FROM=${CONTAINERS_FROM:-$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || echo 9f5893c)}

CHECKED=tests/containers/checked.sha256

# What images, stack and this check are made of.
inputs() {
    git ls-files -z --cached --others --exclude-standard deploy tests/containers docker-compose.yml Dockerfile.gpu \
        .dockerignore pyproject.toml constraints.txt | grep -zvxF $CHECKED | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

if [ "${1:-}" = --if-changed ]; then
    shift
    if [ "$(inputs)" = "$(cat $CHECKED 2>/dev/null)" ]; then
        echo "containers: nothing changed since the last green check"
        exit
    fi
    if ! unshare -mnpuif true 2>/dev/null || ! command -v apt-get >/dev/null; then
        echo "containers: changed, and cannot be checked here: run 'make containers' as root on Debian"
        exit
    fi
fi

[ "$(id -u)" = 0 ] || { echo "make containers needs root: it mounts file systems in namespaces of its own"; exit 1; }
mkdir -p "$WORK/index"
exec 9>"$WORK/lock"
flock --nonblock 9 || { echo "another check uses $WORK"; exit 1; }

# shellcheck source=tests/containers/engine.sh
. "$HERE/engine.sh"
started=$SECONDS
say() { echo "[$((SECONDS - started)) s] $*"; }
trap stop_engine EXIT

prepare_trees
prepare_torch_index
say trees
start_engine
# What a check that failed left behind has started again.
inside 'docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null'
build_stand_ins
say engine and stand-ins

# The working tree as it is, with what is not committed yet.
INPUTS=$(inputs)
rm -rf "$WORK/src" "$WORK/old"
mkdir -p "$WORK/src" "$WORK/old"
git ls-files -z --cached --others --exclude-standard | tar -cf - --null --ignore-failed-read --files-from - 2>/dev/null |
    tar -xf - -C "$WORK/src"
VERSION=$(sh deploy/version.sh)
REVISION=$(git rev-parse HEAD)

# The checkpoints of the small 1b_lyrics (tests/fixtures/released_models.py), where a pull expects them.
mkdir -p "$WORK"/index/models/{5b,1b_lyrics} "$WORK/index/ids"
cp tests/golden/vqvae.pth.tar "$WORK/index/models/5b/"
cp tests/golden/upsampler_level_0.pth.tar "$WORK/index/models/5b/prior_level_0.pth.tar"
cp tests/golden/upsampler_level_1.pth.tar "$WORK/index/models/5b/prior_level_1.pth.tar"
cp tests/golden/prior_1b_lyrics.pth.tar "$WORK/index/models/1b_lyrics/prior_level_2.pth.tar"
cp tests/golden/labels/*.txt "$WORK/index/ids/"

build_old() {
    local commit
    commit=$(git rev-parse --short "$FROM^{commit}")
    git archive "$commit" | tar -xf - -C "$WORK/old"
    inside "cd /w/old
        if ! docker image inspect jukebox-api:$commit jukebox-worker-cpu:$commit >/dev/null 2>&1; then
            REDIS_PASSWORD=x docker compose -f docker-compose.yml -f deploy/docker-compose.cpu.yml --progress plain build \
                --build-arg PIP_EXTRA_INDEX_URL=http://172.17.0.1:9999/ \
                --build-arg TORCH_INDEX_URL=http://172.17.0.1:9999/ >/w/old-build.log 2>&1
            docker tag jukebox-api jukebox-api:$commit
            docker tag jukebox-worker-cpu jukebox-worker-cpu:$commit
        fi
        docker tag jukebox-api:$commit jukebox-api:old
        docker tag jukebox-worker-cpu:$commit jukebox-worker-cpu:old"
}

ALL=$([ $# -gt 0 ] || echo yes)
[ $# -gt 0 ] || set -- "${STEPS[@]}"
case " $* " in *" upgrade "*) build_old && say "the release before: $FROM" ;; esac
inside "export VERSION=$VERSION REVISION=$REVISION OLD=$FROM INDEX=http://172.17.0.1:9999
    bash /w/src/tests/containers/steps.sh $*"
inside 'docker image prune --force >/dev/null; docker builder prune --force --keep-storage 6GB >/dev/null'
if [ -n "$ALL" ]; then
    echo "$INPUTS" >$CHECKED
    say "all green; commit $CHECKED"
fi
