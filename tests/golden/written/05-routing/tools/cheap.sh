#!/bin/sh
[ "$1" = --version ] && { echo "cheap 2.1.0"; exit; }
printf "{\"by\":\"cheap\"}\n" > report.json
