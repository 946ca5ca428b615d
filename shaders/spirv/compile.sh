#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Compiles the kernels that need a newer glslang than Debian 12's: those with cooperative matrices. The results are
# committed beside this file, so that whoever builds gst-deim on Debian 12 has them too.
#
#   shaders/spirv/compile.sh          writes them
#   shaders/spirv/compile.sh --check  compiles them elsewhere and fails where a committed one differs
#
# Different versions of glslang write different modules; the committed ones are of Debian 13's (15.2). With another one
# --check says "skipped" and ends with status 77. tests/trixie.sh runs it where that glslang is.
set -eu

folder=$(dirname "$0")
kernels='conv_coopmat'

version=$(glslangValidator --version 2> /dev/null | sed -n 's/^Glslang Version: 11:\([0-9]*\.[0-9]*\).*/\1/p')
out=$folder
if [ "${1:-}" = --check ]; then
  if [ "$version" != 15.2 ]; then
    echo "spirv: skipped: the committed modules are of glslang 15.2 and this one is ${version:-not there}"
    exit 77
  fi
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi

for kernel in $kernels; do
  module=$kernel.ssbo.spv
  glslangValidator --quiet -V --target-env vulkan1.2 -g0 -DDEIM_SSBO=1 "$folder/../$kernel.comp" -o "$out/$module"
  [ "$out" = "$folder" ] || cmp "$out/$module" "$folder/$module"
  echo "spirv: $module: $(wc -c < "$out/$module") bytes"
done
