/* Runs a program with its output in a log, and prints what it cost. In C because a process started
   from a large one inherits that one's peak memory: started from here, what is reported is its own
   (and that of the largest process it waited for).

   stopwatch LOG PROGRAM [ARGUMENT...]
   prints: status, wall nanoseconds, user and system microseconds, peak KiB. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fputs("usage: stopwatch LOG PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t pid;
  long long begin = now();
  int error = posix_spawnp(&pid, argv[2], &files, NULL, argv + 2, environ);
  if (error != 0) {
    fprintf(stderr, "stopwatch: cannot start %s\n", argv[2]);
    return 2;
  }
  int status;
  struct rusage use;
  if (wait4(pid, &status, 0, &use) != pid) return 2;
  long long wall = now() - begin;
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  printf("%d %lld %lld %lld %ld\n", code, wall, use.ru_utime.tv_sec * 1000000LL + use.ru_utime.tv_usec,
         use.ru_stime.tv_sec * 1000000LL + use.ru_stime.tv_usec, use.ru_maxrss);
  return 0;
}
