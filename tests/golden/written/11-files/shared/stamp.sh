#!/bin/sh
cat "$1" $(find cards -type f) > stamped.txt
mkdir -p sheet; cp stamped.txt sheet/
