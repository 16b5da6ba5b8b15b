#!/bin/sh
# Stands in for playwright: looks at the page, takes a picture of it, writes a report.
set -eu
if test "$1" = --version; then echo "Version 1.50.0"; exit; fi
test "$1" = test && test -f "$2"
for arg; do case "$arg" in --output=*) shots=${arg#--output=};; esac; done
/usr/bin/python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1]).read().decode())' "$BASE_URL/checkout.html" > page.html
/bin/grep -q Checkout page.html
/bin/mkdir -p "$shots/checkout"
/bin/cp page.html "$shots/checkout/page.png"
echo '<testsuites><testsuite name="auv-0005" tests="1" failures="0"><testcase name="checkout"/></testsuite></testsuites>' > "$PLAYWRIGHT_JUNIT_OUTPUT_NAME"
