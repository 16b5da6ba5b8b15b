#!/bin/sh
[ "$1" = --version ] && { echo "local 2.1.0"; exit; }
printf "{\"by\":\"local\"}\n" > report.json
