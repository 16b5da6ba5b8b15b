#include "table.h"
#include "util.h"
int main(void) { int v[] = {1,2,3}; say("sum", table_sum(v, 3)); return 0; }
