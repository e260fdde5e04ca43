#!/usr/bin/env bash
# Tests the Python package against the gateway that $CELLGATE_BINARY names: style, types, and the unit tests.
#
#   clients/python/test.sh [PYTHON]              with this interpreter, python3 unless one is given
#   clients/python/test.sh --prepare [PYTHON]    only makes the virtual environment with what the tests use
set -euo pipefail

prepare=false
if [ "${1:-}" = --prepare ]; then
  prepare=true
  shift
fi
python=${1:-python3}
top=$(realpath "$(dirname "$0")/../..")
target=$(realpath -m "${CARGO_TARGET_DIR:-$top/target}")
cd "$top/clients/python"

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
environment=$target/clients/python$version
# The mark says what it was made with: with other packages it is made again.
if ! cmp -s tests/requirements.txt "$environment/complete"; then
  rm -rf "$environment"
  "$python" -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
  cp tests/requirements.txt "$environment/complete"
fi
if $prepare; then exit; fi

: "${CELLGATE_BINARY:?names the gateway that the tests start, such as target/debug/cellgate}"
export PYTHONPATH=$PWD/src PYTHONDONTWRITEBYTECODE=1
if [ -e "$environment/bin/mypy" ]; then
  "$environment/bin/ruff" check --quiet --no-cache .
  "$environment/bin/ruff" format --quiet --no-cache --check .
  "$environment/bin/mypy" --no-error-summary --cache-dir "$environment/mypy"
fi
# The development mode finds what an event loop is asked for by a thread that is not its own.
exec "$environment/bin/python" -X dev -W ignore::ResourceWarning -m unittest discover --start-directory tests
