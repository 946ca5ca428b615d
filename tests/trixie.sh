#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds the elements on Debian 13 (GStreamer 1.26) and runs their tests there (suite "gstreamer"): what depends on a
# GStreamer newer than Debian 12's is compiled and tested nowhere else. With them goes what needs a newer glslang (suite
# "spirv").
#
#   tests/trixie.sh [TEST...]     TEST: names as in meson test; none is all of the suites
#
# Results go to build-trixie/ of the tree, as a build folder would have them, with the pictures that the tests made (one
# of them by upstream's objectdetectionoverlay, from our metadata).
#
# The system lies in $TRIXIE, or in $XDG_CACHE_HOME/gst-deim-trixie: made once by debootstrap and pipelines/setup.sh, of
# Debian's packages only (about 3 GB), and then kept; remove the folder to have it made anew. Needs root, for debootstrap
# and chroot. The mirror is that of this system's apt.
#
# Ends with status 0 when all tests passed, with 1 when some failed, with 2 when they could not be built or run, and with
# 77 after a line "trixie: skipped: ..." where there can be no such system.
set -euo pipefail

cd "$(dirname "$0")/.."

say ()
{
  printf 'trixie: %s\n' "$*"
}

skip ()
{
  say "skipped: $*"
  exit 77
}

die ()
{
  printf 'trixie: %s\n' "$@" >&2
  exit 2
}

[ "$(id -u)" = 0 ] || skip 'making and entering another system needs root'
command -v debootstrap > /dev/null || skip 'debootstrap is not installed (pipelines/setup.sh --all)'
[ -e /usr/share/debootstrap/scripts/trixie ] || skip 'this debootstrap does not know Debian 13'
unshare --mount --propagation private mount -t proc proc /proc 2> /dev/null ||
  skip 'this system does not let root mount anything'

root=${TRIXIE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gst-deim-trixie}
mkdir -p "$root"
root=$(cd "$root" && pwd)
log=$root.log

# One at a time: the system is shared by all checkouts.
exec 9> "$root.lock"
flock --nonblock 9 || {
  say 'waiting for another run to end'
  flock 9
}

# A mirror of Debian that this machine's apt uses; snapshots and security archives are none.
mirror ()
{
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2> /dev/null |
    grep -v '^#' | grep -o -E 'https?://[^ ]+/debian/?( |$)' | tr -d ' ' | head -n 1 || true
}

# in_chroot COMMAND...: with /proc and /dev, which disappear with the command.
in_chroot ()
{
  # shellcheck disable=SC2016
  unshare --mount --propagation private sh -c 'root=$1
    shift
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
      exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"' in_chroot "$root" "$@"
}

# ------------------------------------------------------------------------------------------ the system

if [ ! -e "$root/usr/bin/apt-get" ] || [ -e "$root/debootstrap" ]; then
  from=$(mirror)
  from=${from:-http://deb.debian.org/debian}
  say "making Debian 13 in $root (some minutes; details in $log)"
  if ! debootstrap --variant=minbase trixie "$root" "$from" > "$log" 2>&1 < /dev/null; then
    ! grep -q -E 'Failed getting release file|Invalid Release|download' "$log" ||
      skip "debootstrap cannot get packages from $from; what it said is in $log"
    ! grep -q -E 'Cannot install into target' "$log" || skip "$root can hold no system: $(tail -n 1 "$log")"
    tail -n 20 "$log" >&2
    die "debootstrap failed; all it said is in $log"
  fi
fi
# Packages with services do not start them here, and none is written to the disk one by one.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/gst-deim"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"

# The sources that git knows or would know.
work=$root/root/work
rm -rf "$work/source" "$work/shared"
mkdir -p "$work/source"
# shellcheck disable=SC2016
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for file; do
    [ ! -e "$file" ] || printf "%s\0" "$file"
  done' copy | tar -c --null -T - | tar -x -C "$work/source"

# Their own setup says what is missing, and installs it. Before that: is there a network?
cp /etc/resolv.conf "$root/etc/resolv.conf"
if ! in_chroot sh -c 'cd /root/work/source && pipelines/setup.sh --tests --missing' > "$log" 2>&1 < /dev/null; then
  in_chroot apt-get -q -o APT::Update::Error-Mode=any update >> "$log" 2>&1 < /dev/null ||
    skip "apt-get cannot get the lists of packages; what it said is in $log"
  in_chroot sh -c 'cd /root/work/source && pipelines/setup.sh --tests' < /dev/null ||
    die 'not all packages could be installed'
  in_chroot apt-get -q clean
fi

# ------------------------------------------------------------------------------------- building and testing

# The weights and photos that the tests look for, where there are any.
shared=${DEIM_SHARED:-../shared}
if [ -d "$shared/real" ]; then
  mkdir -p "$work/shared/real"
  cp "$shared"/real/*.safetensors "$work/shared/real/"
  cp -r "$shared/real/open" "$work/shared/real/"
fi

say 'building'
rm -rf build-trixie
mkdir -p build-trixie
log=build-trixie/build.log
if [ ! -e "$work/build/build.ninja" ]; then
  in_chroot meson setup /root/work/build /root/work/source -Dwerror=true > "$log" 2>&1 < /dev/null ||
    { tail -n 20 "$log" >&2 && die "meson setup failed; all it said is in $log"; }
fi
in_chroot ninja -C /root/work/build -j "$(nproc)" >> "$log" 2>&1 < /dev/null ||
  { grep -A 20 '^FAILED:' "$log" | head -n 60 >&2 && die "the build failed; all it said is in $log"; }
grep -q -e -DHAVE_ANALYTICS "$work/build/compile_commands.json" ||
  die 'the build has not found gstreamer-analytics-1.0, which is what it is for'

tests=("$@")
[ "$#" != 0 ] || tests=(--suite gstreamer --suite spirv --no-suite slow)
say "testing on GStreamer $(in_chroot pkg-config --modversion gstreamer-1.0)"
failed=0
in_chroot env DEIM_SHARED=/root/work/shared meson test -C /root/work/build --no-rebuild --print-errorlogs \
  --timeout-multiplier 4 "${tests[@]}" < /dev/null || failed=1
cp -r "$work/build/meson-logs" build-trixie/
[ ! -d "$work/build/tests/pictures" ] || cp -r "$work/build/tests/pictures" build-trixie/
exit "$failed"
