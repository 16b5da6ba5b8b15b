#include <stdio.h>
#include "util.h"
void say(const char *s, int n) { printf("%s %d\n", s, n); }
