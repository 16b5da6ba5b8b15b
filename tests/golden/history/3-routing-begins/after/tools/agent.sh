#!/bin/sh
# Stands in for an agent. Its one argument is the request: what it is told, its limits, and where it
# must leave what. It "sums up" by the first line of the text that is staged for it.
set -eu
sed -n 's/^  "prompt": "\(.*\)".*$/told: \1/p' "$1" >&2
printf 'In short: %s\n' "$(sed -n 1p in/text)" >summary.txt
