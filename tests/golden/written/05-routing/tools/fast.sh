#!/bin/sh
[ "$1" = --version ] && { echo "fast 2.1.0"; exit; }
printf "{\"by\":\"fast\"}\n" > report.json
