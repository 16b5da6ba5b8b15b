#pragma once
void say(const char *s, int n);
