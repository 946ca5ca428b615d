#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Puts the Mesa of Debian 12's backports (25.0) beside the system's own (22.3), to measure and test with both: downloads
# the Vulkan driver and those of its libraries that the system lacks or has too old, and unpacks them into a folder.
# Nothing is installed, no root is needed.
#
#   eval "$(bench/mesa-backports.sh [FOLDER])"      FOLDER: $XDG_CACHE_HOME/gst-deim/mesa-backports
#
# Standard output is two lines for the shell to evaluate; all else goes to standard error.
set -euo pipefail

say ()
{
  printf 'mesa-backports: %s\n' "$*" >&2
}

die ()
{
  say "$*"
  exit 1
}

folder=$(realpath -m "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/gst-deim/mesa-backports}")
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "${ID:-}-${VERSION_CODENAME:-}")
[ "$release" = debian-bookworm ] || die "this is for Debian 12; the system's own Mesa is the one to use on $release"

if [ ! -e "$folder/complete" ]; then
  [ -z "$(ls -A "$folder" 2> /dev/null)" ] || die "$folder holds other things; give a folder that is new, or empty"
  # The mirror is the one that the system itself uses.
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
  [ -n "$mirror" ] || die "apt knows no source of Debian 12: run apt-get update first"

  work=$(mktemp -d "${TMPDIR:-/tmp}/mesa-backports.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  printf 'deb %s %s main\n' "$mirror" bookworm "$mirror" bookworm-backports > "$work/sources.list"
  apt=(apt-get -q -y -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o Acquire::Languages=none
    -o APT::Default-Release=bookworm-backports -o APT::Install-Recommends=false -o Debug::NoLocking=true
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)"
    -o APT::Keep-Downloaded-Packages=true -o APT::Update::Post-Invoke='' -o DPkg::Post-Invoke='')

  say "reading the package lists"
  "${apt[@]}" update > "$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; die "apt-get update failed"; }
  say "downloading"
  "${apt[@]}" install --download-only --reinstall mesa-vulkan-drivers/bookworm-backports > "$work/log" 2>&1 ||
    { tail -n 5 "$work/log" >&2; die "the download failed"; }

  # Beside its place, where it appears whole.
  mkdir -p "$(dirname "$folder")"
  new=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$work" "$new"' EXIT
  for package in "$work"/cache/archives/*.deb; do
    say "unpacking $(basename "$package")"
    dpkg-deb -x "$package" "$new"
  done
  driver=$(find "$new" -name libvulkan_lvp.so | head -n 1)
  [ -n "$driver" ] || die "the packages hold no lavapipe driver"
  # The loader must not find the system's driver of the same name.
  libraries=$folder${driver#"$new"}
  sed -i -E 's|("library_path": *")([^"]*/)?([^/"]+)"|\1'"$(dirname "$libraries")"'/\3"|' \
    "$new"/usr/share/vulkan/icd.d/*.json
  touch "$new/complete"
  chmod 755 "$new"
  mv -T "$new" "$folder" || die "$folder cannot be made"
fi

icd=$(find "$folder/usr/share/vulkan/icd.d" -name 'lvp_icd*.json' | head -n 1)
libraries=$(dirname "$(find "$folder" -name libvulkan_lvp.so | head -n 1)")
printf 'export VK_DRIVER_FILES=%q VK_ICD_FILENAMES=%q\n' "$icd" "$icd"
# shellcheck disable=SC2016
printf 'export LD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' "$libraries"
