#!/bin/sh
# The test suite. Real servers on a busy machine: up to eight tests that fail are run once more, alone, and must then
# pass. Both rounds are printed, so a test that needs its second chance is seen; what fails twice is red.
# Arguments go to pytest; with any, there is one round.
set -u
cd "$(dirname "$0")/.." || exit 1
python=.venv/bin/python
[ $# -gt 0 ] && exec "$python" -m pytest -n 2 "$@"

rm -rf .pytest_cache/v/cache/lastfailed
"$python" -m pytest -n 2
code=$?
[ "$code" -eq 1 ] || exit "$code"
failed=$("$python" -c "import json; print(len(json.load(open('.pytest_cache/v/cache/lastfailed'))))")
[ "$failed" -le 8 ] || exit 1
echo "Second round, for $failed that failed:"
exec "$python" -m pytest -n 0 --last-failed --last-failed-no-failures none
