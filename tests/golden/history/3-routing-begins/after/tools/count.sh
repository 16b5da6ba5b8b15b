#!/bin/sh
# Counts words or lines. Started by the default protocol: `--NAME VALUE` for each parameter; what the
# capability returns as `stats`, a JSON document, is left as `stats.json`.
set -eu
unit=words
while [ $# -gt 1 ]; do
    case "$1" in
        --text) text=$2 ;;
        --unit) unit=$2 ;;
    esac
    shift 2
done
case "$unit" in
    lines) count=$(wc -l <"$text") ;;
    *) count=$(wc -w <"$text") ;;
esac
printf '{"unit":"%s","count":%d}\n' "$unit" "$((count))" >stats.json
