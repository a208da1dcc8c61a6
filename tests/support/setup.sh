# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# This file owns preparing a machine: installing what is missing, and showing that something goes on.

# The scripts that source this have sourced boot/cache.sh before.
# shellcheck disable=SC2034 # both are those scripts'
readonly kvm_device=/dev/kvm
# KVM of this kind interprets the guest's kernel: see tests/boot/README.md.
# shellcheck disable=SC2034
readonly interpreted_kvm=/sys/module/kvm_pvm

step_log=
step_ticker=

# prepare_steps: makes the log of run_step; remove_steps removes it and belongs into an EXIT trap.
prepare_steps() { step_log=$(mktemp "${TMPDIR:-/tmp}/nestvirt-log.XXXXXX"); }

remove_steps() {
    stop_ticker
    if [[ -n $step_log ]]; then
        rm -f -- "$step_log"
    fi
}

stop_ticker() {
    if [[ -n $step_ticker ]]; then
        kill "$step_ticker" 2>/dev/null || true
        wait "$step_ticker" 2>/dev/null || true
        step_ticker=
    fi
}

# last_line: prints what the log ends with; of a line written over by the next, as apt does, the last.
last_line() { tail -n 1 "$step_log" | tr '\r' '\n' | grep . | tail -n 1 | cut -c 1-70 || true; }

# tick LABEL: tells every few seconds how long it has taken, and the last line of the log.
tick() {
    local start=$SECONDS pause=2
    while sleep "$pause" && kill -0 $$ 2>/dev/null; do
        say "$1: $(elapsed "$start") $(last_line)"
        pause=5
    done
}

# run_step LABEL COMMAND...: runs it quietly, with a line every few seconds; on failure shows the end
# of what it printed. Returns its status.
run_step() {
    local label=$1 status=0
    shift
    : >"$step_log"
    tick "$label" &
    step_ticker=$!
    "$@" >"$step_log" 2>&1 </dev/null || status=$?
    stop_ticker
    if ((status)); then
        tail -n 40 "$step_log" >&2
        say "$label: failed with status $status; its last lines are above"
    fi
    return "$status"
}

# missing_packages NAME...: prints those that are not installed.
missing_packages() {
    local name installed
    # shellcheck disable=SC2016 # the variables in the format are dpkg-query's
    installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null) || true
    for name in "$@"; do
        grep -qxF "installed $name" <<<"$installed" || printf '%s\n' "$name"
    done
}

# are_known NAME...: whether apt's lists name a version of every package.
are_known() {
    local known
    known=$(apt-cache policy -- "$@" 2>/dev/null | grep -c '^  Candidate: [^(]') || true
    ((known == $#))
}

# as_root COMMAND...: runs it as root, through sudo where needed.
as_root() {
    if ((EUID == 0)); then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

update_lists() {
    run_step "package lists" as_root apt-get update -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2
}

try_install() {
    run_step "installing" as_root apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 -- "$@"
}

# install_packages NAME...: installs those that are missing, or ends the script with the remedy.
install_packages() {
    local missing
    command -v apt-get dpkg-query >/dev/null ||
        fail "this system has no apt-get; remedy: use Debian 12, or install what these packages hold: $*"
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "packages are missing, and this is neither root nor is there" \
            "sudo; remedy: as root, apt-get install --no-install-recommends ${missing[*]}"
        # Asks for the password here, where the question is seen.
        sudo -v || fail "packages are missing, and sudo refuses; remedy: as root," \
            "apt-get install --no-install-recommends ${missing[*]}"
    fi
    if are_known "${missing[@]}"; then
        try_install "${missing[@]}" && return
        say "trying again with new package lists"
    fi
    if update_lists && try_install "${missing[@]}"; then
        return
    fi
    fail "could not install ${missing[*]}; remedy: look at apt's message above, check that this" \
        "machine reaches Debian's packages, then try again"
}

# list_packages FILE...: prints the names in lists of one package a line.
list_packages() { sort -u -- "$@"; }

# warn_system: warns where this is not the system that the project is made on.
warn_system() {
    local ID='' VERSION_ID=''
    # shellcheck source=/dev/null
    if [[ -r /etc/os-release ]]; then source /etc/os-release; fi
    if [[ $ID != debian || $VERSION_ID != 12 ]]; then
        say "warning: made for Debian 12, and this is ${ID:-unknown} ${VERSION_ID}; trying all the same"
    fi
    [[ $(uname -m) == x86_64 ]] ||
        fail "libnestvirt runs on x86_64 so far, and this is $(uname -m); remedy: use an x86_64 machine"
}

# suite_targets FOLDER SUITE: prints what the tests of a suite need built, but for those that are scripts.
suite_targets() {
    python3 - "$@" <<'END'
import json, os, subprocess, sys

folder, suite = sys.argv[1:]
command = ["meson", "introspect", "--tests", "--targets", folder]
known = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
needed = set()
for test in known["tests"]:
    if "libnestvirt:" + suite in test["suite"] and "libnestvirt:script" not in test["suite"]:
        needed.update(test["depends"])
for target in known["targets"]:
    if target["id"] in needed:
        print(*(os.path.relpath(file, os.path.abspath(folder)) for file in target["filename"]), sep="\n")
END
}

# prepare_build FOLDER OPTION...: configures a build folder, anew if there is one, and builds; with
# build_only=SUITE in the environment only what suite_targets tells, and everything if that tells nothing.
prepare_build() {
    local folder=$1 again=() targets=()
    shift
    if [[ -f $folder/meson-private/coredata.dat ]]; then
        again=(--reconfigure)
    fi
    run_step "configuring $folder" meson setup "${again[@]}" "$folder" "$@" || return
    if [[ -n ${build_only:-} ]]; then
        mapfile -t targets < <(suite_targets "$folder" "$build_only")
    fi
    run_step "building $folder" ninja -C "$folder" "${targets[@]}"
}
