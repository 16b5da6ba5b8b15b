#!/bin/sh
# Stands in for an agent that reviews. Its one argument is the request, which says what it is about and where the verdict
# belongs; the change itself is staged beside it.
set -eu
if grep -q '^+.*rm -rf' in/change; then
    echo '{"pass": false, "reasons": ["it removes what it did not make"], "confidence": 9}' > verdict.json
else
    echo '{"pass": true, "reasons": ["one line, one thing"], "confidence": 8}' > verdict.json
fi
