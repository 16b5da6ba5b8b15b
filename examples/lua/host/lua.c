/* A small stand-alone interpreter: runs a script, a piece of code or standard input.
   The crate that the library comes from leaves the usual one out. */

#include <stdio.h>
#include <string.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static int with_traceback(lua_State *L) {
  const char *message = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, message, 1);
  return 1;
}

/* Sets the global `arg` as scripts expect it: the script at 0, its arguments from 1. */
static void set_arguments(lua_State *L, int count, char **words, int script) {
  lua_createtable(L, count - script, script + 1);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, words[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

/* Calls the chunk on top of the stack with the words after the script as its arguments. */
static int call(lua_State *L, int loaded, int count, char **words) {
  if (loaded == LUA_OK) {
    int base = lua_gettop(L);
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, base);
    luaL_checkstack(L, count, "too many arguments");
    for (int i = 0; i < count; i++) lua_pushstring(L, words[i]);
    loaded = lua_pcall(L, count, 0, base);
    lua_remove(L, base);
  }
  if (loaded != LUA_OK) {
    fprintf(stderr, "lua: %s\n", lua_tostring(L, -1));
    return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "-v") == 0) {
    puts(LUA_COPYRIGHT);
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "-e") == 0) {
    fputs("usage: lua [-v | -e CODE | SCRIPT [ARGUMENT...]]\n", stderr);
    return 2;
  }
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    fputs("lua: not enough memory\n", stderr);
    return 1;
  }
  luaL_openlibs(L);
  int status;
  if (argc > 2 && strcmp(argv[1], "-e") == 0) {
    set_arguments(L, argc, argv, 0);
    status = call(L, luaL_loadbuffer(L, argv[2], strlen(argv[2]), "=(code)"), 0, NULL);
  } else if (argc > 1) {
    set_arguments(L, argc, argv, 1);
    status = call(L, luaL_loadfile(L, argv[1]), argc - 2, argv + 2);
  } else {
    set_arguments(L, argc, argv, 0);
    status = call(L, luaL_loadfile(L, NULL), 0, NULL);
  }
  lua_close(L);
  return status;
}
