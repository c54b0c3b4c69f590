#!/usr/bin/env bash
# Starts a Docker engine of our own on Debian or Ubuntu, as root, and ends it again.
#
#   dev/docker-engine.sh start    installs and starts what is missing, makes the base image of the functions
#   dev/docker-engine.sh stop     ends the engine that `start` started, and no other
#   dev/docker-engine.sh host     prints DOCKER_HOST of the engine that serves
#
# The engine has its own socket and directories, changes no firewall rules, and pulls no image: the base image
# is a minimal Debian root under the name of AWS's, which is all that a Rust binary and `sam local` need. Where
# an engine serves already, it is used, and pulls AWS's image.
set -euo pipefail

cd "$(dirname "$0")/.."
RUN=/run/jobwarden-docker
DATA=$PWD/.local/docker
SOCKET=unix://$RUN/docker.sock
IMAGE=public.ecr.aws/lambda/provided:al2023-$(uname -m | sed 's/aarch64/arm64/')

say() { echo "docker-engine: $*" >&2; }

serves() { DOCKER_HOST=$1 docker version >/dev/null 2>&1; }

host() {
    if serves "${DOCKER_HOST:-unix:///var/run/docker.sock}"; then
        echo "${DOCKER_HOST:-unix:///var/run/docker.sock}"
    elif serves "$SOCKET"; then
        echo "$SOCKET"
    else
        return 1
    fi
}

install_packages() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v docker >/dev/null || missing+=(docker.io)
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    ((${#missing[@]})) || return 0
    [[ $(id -u) == 0 ]] || { say "needs root to install ${missing[*]}"; exit 1; }
    command -v apt-get >/dev/null || { say "knows how to install ${missing[*]} on Debian and Ubuntu only"; exit 1; }
    say "installing ${missing[*]}"
    apt-get update --quiet=2
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >/dev/null
}

start_engine() {
    host >/dev/null && return 0
    [[ $(id -u) == 0 ]] || { say "needs root to start an engine"; exit 1; }
    mkdir -p "$RUN" "$DATA"
    rm -f "$RUN/docker.pid"
    [[ -e /sys/class/net/docker0 ]] || touch "$RUN/made-bridge"
    # No rules in the firewall: containers talk to this machine only, over the bridge.
    setsid dockerd --host "$SOCKET" --data-root "$DATA/data" --exec-root "$RUN/exec" --pidfile "$RUN/docker.pid" \
        --iptables=false --ip6tables=false --ip-masq=false >"$DATA/dockerd.log" 2>&1 </dev/null &
    echo $! >"$RUN/started"
    for _ in $(seq 150); do
        serves "$SOCKET" && { say "started, process $(<"$RUN/started")"; return 0; }
        kill -0 "$(<"$RUN/started")" 2>/dev/null || break
        sleep 0.2
    done
    say "the engine did not start:"
    tail -n 20 "$DATA/dockerd.log" >&2
    exit 1
}

make_image() {
    DOCKER_HOST=$(host)
    export DOCKER_HOST
    docker image inspect "$IMAGE" >/dev/null 2>&1 && return 0
    # An engine that is not ours gets AWS's own image, and no other under its name.
    if [[ $DOCKER_HOST != "$SOCKET" ]]; then
        docker pull "$IMAGE" >/dev/null
        return
    fi
    say "making $IMAGE"
    local root suite mirror
    root=$(mktemp -d)
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # The mirror that this machine's apt uses.
    mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk -v suite="$suite" '$2 == suite {print $1; exit}')
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" ${mirror:+"$mirror"} >"$DATA/debootstrap.log" 2>&1 ||
        { tail -n 20 "$DATA/debootstrap.log" >&2; exit 1; }
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}
    mkdir -p "$root/var/task" "$root/var/runtime"
    tar --create --one-file-system --directory "$root" . | docker import - "$IMAGE" >/dev/null
    rm -rf "$root"
}

stop_engine() {
    [[ -f $RUN/started ]] || return 0
    local pid
    pid=$(<"$RUN/started")
    if [[ $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) == *"$RUN/docker.pid"* ]]; then
        kill "$pid"
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
        [[ -e $RUN/made-bridge ]] && ip link delete docker0 2>/dev/null
        say "ended"
    fi
    rm -rf "$RUN"
}

case ${1:-} in
    start)
        install_packages
        start_engine
        mkdir -p "$DATA"
        make_image
        ;;
    stop) stop_engine ;;
    host) host ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
