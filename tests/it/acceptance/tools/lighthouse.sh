#!/bin/sh
set -eu
if test "$1" = --version; then echo 12.6.0; exit; fi
test "$1" = --url
/usr/bin/python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()' "$2"
echo '{"categories": {"performance": {"score": 0.97}}}' > report.json
