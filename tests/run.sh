#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Sets up, builds and runs the tests.
#
#   tests/run.sh          what everyone runs before a commit
#   tests/run.sh --all    also the slow tests, builds by gcc and clang in which a warning is an error, the tests again
#                         under AddressSanitizer and UndefinedBehaviorSanitizer, those of the scheduler of many streams
#                         under ThreadSanitizer, and those of the elements on Debian 13 (tests/trixie.sh, skipped where
#                         it cannot run)
#
# The last line is "N passed, N failed, N skipped", where a case of a test program is one; the exit status is 0 only
# when nothing failed. Logs: build*/meson-logs/testlog.txt.
#
# Suites of meson test: "gstreamer" and "spirv" are what tests/trixie.sh runs on Debian 13; "slow" is left to --all; "no-asan" (tests
# that load the plugin into a program that knows no sanitizer, or that no sanitizer can learn from) is left out of the
# run under sanitizers; "tsan" is what runs under ThreadSanitizer.
set -euo pipefail

cd "$(dirname "$0")/.."
all=no
case "${1:-}" in
'') ;;
--all) all=yes ;;
*)
  echo 'usage: tests/run.sh [--all]' >&2
  exit 2
  ;;
esac

# What summary.py counts in the end. Builds are cases too: they pass or they do not.
checks=$(mktemp "${TMPDIR:-/tmp}/deim-checks.XXXXXX.tap")
trap 'rm -f "$checks"' EXIT
results=("$checks")

# check NAME COMMAND...
check ()
{
  if "${@:2}"; then
    echo "ok $1" >> "$checks"
  else
    echo "not ok $1" >> "$checks"
    return 1
  fi
}

# Without the packages nothing else makes sense, but the last line still says how it ended.
set_up ()
{
  check 'the packages' pipelines/setup.sh "$1" && return
  /usr/bin/env python3 tests/summary.py "${results[@]}" || true
  exit 1
}

# run_tests FOLDER [OPTION of meson test...]
run_tests ()
{
  local folder=$1
  shift
  rm -f "$folder"/meson-logs/testlog.*
  printf 'tests: running those of %s\n' "$folder"
  meson test -C "$folder" --no-rebuild --print-errorlogs --num-processes "$(nproc)" "$@" || true
  results+=("$folder/meson-logs/testlog.json")
}

# The two programs of suite tsan alone.
build_for_threads ()
{
  local log=build-tsan/build.log
  mkdir -p build-tsan
  printf 'build: compiling build-tsan\n'
  if [ ! -e build-tsan/build.ninja ] && ! CC=gcc meson setup build-tsan -Db_sanitize=thread > "$log" 2>&1 ||
    ! ninja -C build-tsan tests/test-streams tests/test-deimdetect-streams >> "$log" 2>&1; then
    tail -n 20 "$log" >&2
    return 1
  fi
}

# What trixie.sh's results say of single tests they say themselves, and its output why it was skipped.
run_on_trixie ()
{
  local output status=0
  output=$(mktemp "${TMPDIR:-/tmp}/deim-trixie.XXXXXX")
  rm -rf build-trixie
  tests/trixie.sh 2>&1 | tee "$output" || status=$?
  if [ "$status" = 77 ]; then
    echo "ok the elements on Debian 13 # SKIP $(sed -n 's/^trixie: skipped: //p' "$output")" >> "$checks"
  elif [ "$status" -le 1 ] && [ -s build-trixie/meson-logs/testlog.json ]; then
    results+=(build-trixie/meson-logs/testlog.json)
  else
    echo 'not ok the build on Debian 13' >> "$checks"
  fi
  rm -f "$output"
}

if [ "$all" = no ]; then
  set_up --tests
  ! check 'the build' pipelines/build.sh build || run_tests build --no-suite slow
else
  set_up --all
  ! check 'gcc finds nothing to warn of' env CC=gcc pipelines/build.sh build-gcc -Dwerror=true ||
    run_tests build-gcc --timeout-multiplier 4
  check 'clang finds nothing to warn of' env CC=clang pipelines/build.sh build-clang -Dwerror=true || true

  # tests/lsan.supp lists the leaks of other people's libraries.
  export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1}
  export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/tests/lsan.supp:print_suppressions=0}
  export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
  ! check 'the build with sanitizers' env CC=gcc pipelines/build.sh build-asan -Db_sanitize=address,undefined ||
    run_tests build-asan --no-suite slow --no-suite no-asan --timeout-multiplier 8

  # tests/tsan.supp lists the libraries that it sees nothing of, tests/tsan-glib.c tells it about GLib's locks. Of LLVM's
  # it sees some taken and none released: a thread that has loaded 64 kernels fills its table of locks held, on which it
  # gives up, unless it does not look for deadlocks.
  export TSAN_OPTIONS=${TSAN_OPTIONS:-suppressions=$PWD/tests/tsan.supp:detect_deadlocks=0}
  ! check 'the build with ThreadSanitizer' build_for_threads || run_tests build-tsan --suite tsan --timeout-multiplier 8

  run_on_trixie
fi

/usr/bin/env python3 tests/summary.py "${results[@]}"
