#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds the tree on Debian 13 (GStreamer 1.26) and runs the tests of the elements there: what depends on a GStreamer
# newer than Debian 12's (GstAnalyticsRelationMeta, upstream's objectdetectionoverlay) is compiled and tested nowhere
# else.
#
#   tests/trixie.sh [TEST...]     TEST: names as in meson test; none is all tests of the elements
#
# The system lies in $TRIXIE, or in $XDG_CACHE_HOME/gst-deim-trixie: it is made once by debootstrap, of Debian's
# packages only (about 2.4 GB), and then kept; remove the folder to have it made anew. Needs root, for debootstrap and
# chroot. Where it cannot run it says "skipped" and why, with exit status 77; the mirror is that of this system's apt.
#
# $TRIXIE_OUT: a folder for the picture that upstream's overlay drew from our metadata (none is kept without it).
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
  exit 1
}

[ "$(id -u)" = 0 ] || skip 'making and entering another system needs root'
command -v debootstrap > /dev/null || skip 'debootstrap is not installed (apt-get install debootstrap)'
unshare --mount true 2> /dev/null || skip 'this system does not let root mount anything'

root=${TRIXIE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gst-deim-trixie}
log=$root.log
mkdir -p "$root"
root=$(cd "$root" && pwd)
tests=("$@")
[ "$#" != 0 ] || tests=(analytics deimdetect deimdetect-errors deimdetect-frames deimdetect-live deimdetect-memory deimdetect-results \
  deimjson deimoverlay dmabuf elements image-gst)

packages=(gcc libc6-dev meson ninja-build pkg-config python3 glslang-tools libvulkan-dev libglib2.0-dev
  libjson-glib-dev libzip-dev libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev
  libpango1.0-dev libcairo2-dev gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad fonts-dejavu-core mesa-vulkan-drivers vulkan-validationlayers)

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

logged ()
{
  "$@" >> "$log" 2>&1 < /dev/null || {
    tail -n 20 "$log" >&2
    die "this failed: $*" "all it said is in $log"
  }
}

# The system, complete when the stamp says so for just these packages.
stamp=$root/root/gst-deim-packages
if [ "$(cat "$stamp" 2> /dev/null)" != "${packages[*]}" ]; then
  : > "$log"
  from=$(mirror)
  if [ ! -e "$root/usr/bin/apt-get" ] || [ -e "$root/debootstrap" ]; then
    say "making Debian 13 in $root (some minutes; details in $log)"
    logged debootstrap --variant=minbase trixie "$root" "${from:-http://deb.debian.org/debian}"
  fi
  say "installing ${#packages[@]} packages and what they need"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  logged in_chroot apt-get -q update
  logged in_chroot apt-get -q -y install --no-install-recommends "${packages[@]}"
  logged in_chroot apt-get -q clean
  printf '%s' "${packages[*]}" > "$stamp"
fi

# The sources that git knows or would know, and, where they are, the weights and the photo that test-elements.c wants.
work=$root/root/work
rm -rf "$work/source" "$work/shared"
mkdir -p "$work/source"
# shellcheck disable=SC2016
git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for file; do
    [ ! -e "$file" ] || printf "%s\0" "$file"
  done' copy | tar -c --null -T - | tar -x -C "$work/source"
shared=${DEIM_SHARED:-../shared}
for file in real/deimv2_hgnetv2_atto_coco.safetensors real/open/000000000139.jpg; do
  [ ! -e "$shared/$file" ] || install -D -m 644 "$shared/$file" "$work/shared/$file"
done

say 'building'
log=$work/build.log
: > "$log"
[ -e "$work/build/build.ninja" ] || logged in_chroot meson setup /root/work/build /root/work/source -Dwerror=true
logged in_chroot ninja -C /root/work/build -j "$(nproc)"
grep -q -e -DHAVE_ANALYTICS "$work/build/compile_commands.json" ||
  die 'the build has not found gstreamer-analytics-1.0, which is what it is for'

say "testing: ${tests[*]}"
failed=0
in_chroot env DEIM_SHARED=/root/work/shared meson test -C /root/work/build --no-rebuild --print-errorlogs "${tests[@]}" ||
  failed=1

if [ -n "${TRIXIE_OUT:-}" ] && [ -e "$work/shared/real" ]; then
  mkdir -p "$TRIXIE_OUT"
  in_chroot env GST_PLUGIN_PATH=/root/work/build/gst-plugin gst-launch-1.0 -q filesrc \
    location=/root/work/shared/real/open/000000000139.jpg ! jpegdec ! videoconvert ! video/x-raw,format=BGRx ! deimdetect \
    model=/root/work/shared/real/deimv2_hgnetv2_atto_coco.safetensors meta=analytics ! objectdetectionoverlay ! \
    videoconvert ! pngenc ! filesink location=/root/work/upstream.png
  cp "$work/upstream.png" "$TRIXIE_OUT/"
  say "what upstream's overlay drew: $TRIXIE_OUT/upstream.png"
fi
exit "$failed"
