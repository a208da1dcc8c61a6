# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# This file owns how the boot images are named, locked and put into the cache; the two build scripts source it.

readonly cache="${NESTVIRT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/nestvirt}"

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

# elapsed START_SECONDS: prints the time since then, as 2m10s.
elapsed() {
    local spent=$((SECONDS - $1))
    printf '%dm%02ds' $((spent / 60)) $((spent % 60))
}

# package_version NAME: prints the version of an installed package, or fails.
package_version() {
    local answer
    # shellcheck disable=SC2016 # the variables in the format are dpkg-query's
    answer=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null) || return 1
    [[ $answer == "installed "* ]] || return 1
    printf '%s\n' "${answer#installed }"
}

# need_packages FILE: ends the script, naming what is missing, unless every package in FILE is there.
need_packages() {
    local name missing=()
    while read -r name; do
        package_version "$name" >/dev/null || missing+=("$name")
    done <"$1"
    if ((${#missing[@]})); then
        fail "missing packages: ${missing[*]}; remedy: apt-get install --no-install-recommends ${missing[*]}"
    fi
}

# hash_of FILE...: prints a short hash over standard input and the content of the files, in order.
hash_of() {
    cat -- - "$@" | sha256sum | cut -c 1-16
}

# lock_cache NAME: waits until no other script builds images of this name; held until the script ends.
lock_cache() {
    local start=$SECONDS
    mkdir -p "$cache" || fail "cannot make the cache folder $cache; remedy: set NESTVIRT_CACHE_DIR"
    exec 9>"$cache/.$1.lock"
    until flock -w 10 9; do
        say "$1: waiting for another build, $(elapsed "$start")"
    done
}

# make_work NAME: prints a new temporary folder and removes what a killed build left; needs the lock.
make_work() {
    rm -rf -- "$cache/.$1-work."*
    mktemp -d "$cache/.$1-work.XXXXXX"
}
