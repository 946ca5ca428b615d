#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs what building and running gst-deim needs and this machine lacks.
#
#   pipelines/setup.sh           to build and run
#   pipelines/setup.sh --tests   and to run the tests
#   pipelines/setup.sh --all     and to run the slow ones (a second compiler; another Debian; MPI; PyTorch, to compare
#                                with: 60 MB to download, 550 MB installed)
#
#   pipelines/setup.sh [...] --missing    installs nothing: names the missing packages, and fails where there are any
#
# Debian 12, Ubuntu 24.04 and later: missing packages are installed by apt-get, as root or through sudo. Other systems:
# says what is missing. When nothing is missing it touches neither the network nor the package database.
set -euo pipefail

say ()
{
  printf 'setup: %s\n' "$*"
}

die ()
{
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# Whether some Vulkan driver is registered, or the user names one.
have_vulkan_driver ()
{
  [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}${VK_ADD_DRIVER_FILES:-}" ] || return 0
  local folders folder file
  IFS=: read -r -a folders <<< "${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}:${XDG_CONFIG_DIRS:-/etc/xdg}:/etc\
:${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}:${XDG_DATA_DIRS:-/usr/local/share:/usr/share}:/usr/share"
  for folder in "${folders[@]}"; do
    for file in "$folder"/vulkan/icd.d/*.json; do
      [ ! -e "$file" ] || return 0
    done
  done
  return 1
}

have_compiler ()
{
  command -v "${CC:-cc}" > /dev/null || command -v gcc > /dev/null || command -v clang > /dev/null
}

# GStreamer's analytics library came with 1.24: Debian 13, Ubuntu 24.04.
have_analytics ()
(
  # shellcheck disable=SC1091
  . /etc/os-release
  case ${ID:-}-${VERSION_ID:-} in
  debian-1[12] | ubuntu-2[0-3]*) return 1 ;;
  esac
)

# The Debian packages of the level asked for, one a line.
wanted_packages ()
{
  have_compiler || echo build-essential
  printf '%s\n' meson ninja-build pkg-config python3 glslang-tools libvulkan-dev libglib2.0-dev libjson-glib-dev \
    libzip-dev libprotobuf-c-dev protobuf-c-compiler libmosquitto-dev libgstreamer1.0-dev \
    libgstreamer-plugins-base1.0-dev libpango1.0-dev libcairo2-dev libgdk-pixbuf-2.0-dev \
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
    gstreamer1.0-plugins-ugly gstreamer1.0-libav fonts-dejavu-core
  have_vulkan_driver || echo mesa-vulkan-drivers
  ! have_analytics || echo libgstreamer-plugins-bad1.0-dev
  # Debian's mosquitto also starts a broker for this machine alone; the tests use one of their own.
  [ "$level" = run ] || printf '%s\n' vulkan-validationlayers libjpeg-turbo-progs mosquitto mosquitto-clients \
    openssl libgstrtspserver-1.0-dev python3-gi gir1.2-gst-plugins-base-1.0
  [ "$level" = run ] || ! have_analytics || echo gir1.2-gst-plugins-bad-1.0
  if [ "$level" = all ]; then
    echo debootstrap
    command -v gcc > /dev/null || echo gcc
    command -v clang > /dev/null || echo clang
    printf '%s\n' python3-torch libopenblas0-pthread libopenmpi-dev openmpi-bin
  fi
}

missing_packages ()
{
  local names installed name
  names=$(wanted_packages)
  # dpkg-query fails when it has never heard of one of them, which is no failure here.
  # shellcheck disable=SC2086
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $names 2> /dev/null || true)
  for name in $names; do
    grep -q -x "installed $name" <<< "$installed" || echo "$name"
  done
}

# Turns apt's status lines (kind:package:percent:text) into a line every tenth of the way.
show_progress ()
{
  awk -F: '{
    kind = $1 == "dlstatus" ? "downloading" : "installing"
    tenth = int ($3 / 10)
    if (($1 == "dlstatus" || $1 == "pmstatus") && $3 > 0 && (kind != last || tenth > shown)) {
      printf "setup: %s, %d %%\n", kind, $3
      fflush ()
      last = kind
      shown = tenth
    }
  }'
}

# apt's status lines come out of standard output here, everything else out of standard error. A shell inside sudo does
# that, because sudo closes other descriptors, and apt the one of its status lines before it starts dpkg.
apt ()
{
  # shellcheck disable=SC2016
  $as_root env DEBIAN_FRONTEND=noninteractive sh -c 'exec apt-get -q -y -o APT::Status-Fd=3 "$@" 3>&1 >&2' apt "$@" \
    2>> "$log" < /dev/null | show_progress || {
    tail -n 20 "$log" >&2
    die "apt-get $1 failed; all it said is in $log"
  }
}

install_packages ()
{
  as_root=
  if [ "$(id -u)" != 0 ]; then
    # sudo may ask for a password only where there is someone to answer.
    if command -v sudo > /dev/null && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
      as_root=sudo
    else
      die "these packages are missing: $*" "run this as root, then start again:" \
        "  apt-get update && apt-get install --no-install-recommends $*"
    fi
  fi
  log=$(mktemp "${TMPDIR:-/tmp}/deim-setup.XXXXXX")
  say "$# packages are missing: $*"
  say "reading the package lists"
  apt update
  say "installing (some minutes on a bare machine; details in $log)"
  apt install --no-install-recommends "$@"
  rm -f "$log"
}

# On a system without dpkg: names what the build would not find.
check_by_hand ()
{
  local lacking=() name
  have_compiler || lacking+=('a C compiler')
  for name in meson ninja pkg-config python3 glslangValidator gst-launch-1.0; do
    command -v "$name" > /dev/null || lacking+=("$name")
  done
  if command -v pkg-config > /dev/null; then
    for name in glib-2.0 json-glib-1.0 libzip vulkan gstreamer-1.0 gstreamer-video-1.0 pangocairo; do
      pkg-config --exists "$name" || lacking+=("the development files of $name")
    done
  fi
  have_vulkan_driver || lacking+=('a Vulkan driver (Mesa has one for every machine: lavapipe)')
  [ "${#lacking[@]}" = 0 ] && return
  die "this is neither Debian nor Ubuntu, so the packages are yours to install. Missing:" "${lacking[@]/#/  }" \
    "and, to play files, GStreamer's plugin sets base, good, bad, ugly and libav"
}

level=run
install=yes
for option; do
  case $option in
  --tests) level=tests ;;
  --all) level=all ;;
  --missing) install=no ;;
  *) die "usage: pipelines/setup.sh [--tests|--all] [--missing]" ;;
  esac
done

if command -v apt-get > /dev/null && command -v dpkg > /dev/null; then
  missing=$(missing_packages)
  if [ -n "$missing" ] && [ "$install" = no ]; then
    die "these packages are missing:" "$missing"
  fi
  # shellcheck disable=SC2086
  [ -z "$missing" ] || install_packages $missing
else
  check_by_hand
fi

oldest=1.0.0
version=$(meson --version)
[ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" = "$oldest" ] ||
  die "meson $version is too old: gst-deim needs $oldest (Debian 12, Ubuntu 24.04, or pip install meson)"
