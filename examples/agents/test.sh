#!/usr/bin/env bash
# Tests the examples against the gateway that $CELLGATE_BINARY names, with the real libraries and scripted models.
# The npm client has to be built: `npm ci && npm run build:client` in web/.
#
#   examples/agents/test.sh              tests
#   examples/agents/test.sh --prepare    only installs what they need, from PyPI and npm
set -euo pipefail

top=$(realpath "$(dirname "$0")/../..")
target=$(realpath -m "${CARGO_TARGET_DIR:-$top/target}")
cd "$top/examples/agents"

environment=$target/clients/agents
# The mark says what it was made with: with other packages it is made again.
if ! cmp -s tests/requirements.txt "$environment/complete"; then
  rm -rf "$environment"
  /usr/bin/python3 -m venv "$environment"
  "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
  cp tests/requirements.txt "$environment/complete"
fi
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --silent --no-audit --no-fund
  cp package-lock.json node_modules/.installed
fi
if [ "${1:-}" = --prepare ]; then exit; fi

: "${CELLGATE_BINARY:?names the gateway that the tests start, such as target/debug/cellgate}"
export PYTHONPATH=$top/clients/python/src PYTHONDONTWRITEBYTECODE=1
"$environment/bin/python" -m unittest discover --start-directory tests
node --test tests/*.test.mjs
