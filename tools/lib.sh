# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the scripts of tools/ and tests/ share: messages, packages, the build, waiting, cleaning up.
# To be sourced by a bash script under `set -euo pipefail`; sets TOP (the checkout) and BUILD.
# Nothing here does anything by being sourced, except that the exit trap is put in place.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TOP/build}

# ---- messages: to stderr, so that a script's output can be piped ----

say() {
	printf '%s\n' "$*" >&2
}

warn() {
	printf 'warning: %s\n' "$*" >&2
}

# die TEXT: ends the script. The text says what to do.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "needs root: run it with sudo"
}

# ---- cleaning up ----

CLEANUPS=()

# at_exit CMD [ARG...]: runs it when the script ends, however it ends; the last one given first.
at_exit() {
	CLEANUPS+=("$(printf '%q ' "$@")")
}

run_cleanups() {
	local status=$? i

	# A second Ctrl-C must not leave half of it behind.
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
		eval "${CLEANUPS[i]}"
	done
	exit "$status"
}

trap run_cleanups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# stop_process PIDFILE NAME: ends the process whose pid is in the file, if it is still NAME (the
# pid may long be somebody else's): SIGTERM, after five seconds SIGKILL. Removes the file.
stop_process() {
	local file=$1 name=$2 pid

	[ -s "$file" ] || return 0
	pid=$(cat "$file")
	if is_process "$pid" "$name"; then
		kill "$pid" 2>/dev/null || true
		wait_for 5 is_gone "$pid" "$name" || {
			warn "$name ($pid) does not end: killing it"
			kill -9 "$pid" 2>/dev/null || true
			wait_for 5 is_gone "$pid" "$name" || true
		}
	fi
	rm -f "$file"
}

# is_process PID NAME: it runs, and is NAME.
is_process() {
	[ "$(cat "/proc/$1/comm" 2>/dev/null)" = "${2:0:15}" ] && is_alive "$1"
}

# A zombie is not alive: it only waits for its parent to look.
is_alive() {
	grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
}

is_gone() {
	! is_process "$@"
}

# ---- waiting ----

# wait_for SECONDS CMD [ARG...]: repeats CMD, quietly, until it succeeds. Fails when the time is
# over. SECONDS may have a fraction.
wait_for() {
	local end now
	end=$(awk -v now="$(now_ms)" -v add="$1" 'BEGIN { printf "%d", now + add * 1000 }')
	shift
	until "$@" >/dev/null 2>&1; do
		now=$(now_ms)
		[ "$now" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# Milliseconds since the machine started: no clock that anybody sets.
now_ms() {
	local up

	read -r up _ </proc/uptime
	echo $((10#${up/./} * 10))
}

# ---- packages ----

# packages GROUP...: their names from tools/packages.txt.
packages() {
	local group

	for group in "$@"; do
		sed -n "s/^$group: *//p" "$TOP/tools/packages.txt"
	done | tr ' ' '\n'
}

package_is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
		-o Dpkg::Use-Pty=0 --no-install-recommends install "$@" </dev/null
}

# Debian starts a server when it installs one; this forbids it until services_allow.
services_forbid() {
	[ ! -e /usr/sbin/policy-rc.d ] || return 0
	at_exit services_allow
	printf '#!/bin/sh\n# sluice-lab: removed when its packages are installed\nexit 101\n' \
		>/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
}

services_allow() {
	if grep -qs sluice-lab /usr/sbin/policy-rc.d; then
		rm -f /usr/sbin/policy-rc.d
	fi
}

# The lab starts its servers itself: those that came with our packages stay off after a reboot too.
services_disable() {
	local package unit

	command -v systemctl >/dev/null || return 0
	for package in "$@"; do
		case $package in
		nginx-light) unit=nginx ;;
		openssh-server) unit=ssh ;;
		dnsmasq | iperf3) unit=$package ;;
		*) continue ;;
		esac
		systemctl -q disable "$unit.service" >/dev/null 2>&1 || true
	done
}

# install_packages GROUP...: what is missing of the groups, and nothing else.
install_packages() {
	local package log missing=()

	for package in $(packages "$@"); do
		package_is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null ||
		die "no apt-get here; install what these Debian packages hold: ${missing[*]}"
	need_root
	say "installing ${#missing[@]} Debian packages: ${missing[*]}"
	log=$(mktemp)
	services_forbid
	# The lists may be there and good enough; if not, they are fetched and it is tried again.
	if ! apt_install "${missing[@]}" >"$log" 2>&1; then
		if ! { apt-get -qq update && apt_install "${missing[@]}"; } >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			rm -f "$log"
			die "apt-get could not install these packages (its last lines are above)"
		fi
	fi
	rm -f "$log"
	services_allow
	services_disable "${missing[@]}"
}

# ---- the build ----

# build [DIR [MESON-OPTION...]]: configures DIR (default: $BUILD) if it is new, then builds it.
build() {
	configure "$@"
	compile "${1:-$BUILD}"
}

configure() {
	local dir=${1:-$BUILD} log
	[ $# -eq 0 ] || shift

	log=$(mktemp)
	if [ ! -e "$dir/build.ninja" ]; then
		say "configuring $dir"
		if ! meson setup "$@" "$dir" "$TOP" >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			rm -f "$log"
			die "meson could not configure $dir (its last lines are above)"
		fi
	fi
	rm -f "$log"
}

# compile DIR [TARGET...]: all of it without.
compile() {
	local dir=$1 log

	log=$(mktemp)
	say "building $dir"
	if ! ninja -C "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		rm -f "$log"
		die "the build in $dir failed (its last lines are above)"
	fi
	rm -f "$log"
}

# hugepages_try N: asks the kernel for N free hugepages of 2 MB. Fails, saying nothing, where the
# machine has none to give: Sluice then runs on ordinary pages, slower.
hugepages_try() {
	local dir=/sys/kernel/mm/hugepages/hugepages-2048kB want=$1 free total

	[ -w "$dir/nr_hugepages" ] || return 1
	free=$(cat "$dir/free_hugepages")
	total=$(cat "$dir/nr_hugepages")
	if [ "$free" -lt "$want" ]; then
		echo $((total + want - free)) >"$dir/nr_hugepages" || return 1
	fi
	mountpoint -q /dev/hugepages || {
		mkdir -p /dev/hugepages 2>/dev/null &&
			mount -t hugetlbfs nodev /dev/hugepages 2>/dev/null
	} || return 1
	[ "$(cat "$dir/free_hugepages")" -ge "$want" ]
}
