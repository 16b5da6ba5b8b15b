#pragma once
int table_sum(const int *v, int n);
