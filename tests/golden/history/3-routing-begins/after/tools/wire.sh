#!/bin/sh
# Stands in for a service that is too dear for the map.
exit 1
