#!/bin/sh
# The contract of the graph store on a real Neo4j (Community 5.26, through Maven). Says why where that cannot be had.
set -eu
cd "$(dirname "$0")/.."

skip() {
  echo "test-neo4j: skipped: $1"
  exit 0
}

command -v mvn >/dev/null || skip "there is no Maven (mvn) on this machine"
command -v javac >/dev/null || skip "there is no Java development kit (javac, 17 or newer) on this machine"
folder=tests/resources/knowledge/neo4j_server
classpath=$(mktemp)
trap 'rm -f "$classpath"' EXIT
timeout 600 mvn --quiet --batch-mode --file "$folder/pom.xml" dependency:build-classpath -Dmdep.outputFile="$classpath" \
  >"$classpath.log" 2>&1 || {
  reason=$(grep -m 1 ERROR "$classpath.log" || echo "unknown reason")
  rm -f "$classpath.log"
  skip "Maven could not get Neo4j's jars ($reason)"
}
rm -f "$classpath.log"
AIW_TEST_NEO4J="$classpath" .venv/bin/python -m pytest -n 0 tests/resources/knowledge/test_real_neo4j.py "$@"
