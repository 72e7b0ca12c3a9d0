"""Lua on the simulated Redis, without paying for the same script again at each call.

fakeredis compiles a script, lists Lua's globals for each `redis.call` and runs a full garbage
collection, every time. Here a script is compiled once, the globals are checked once at its end,
and Lua collects its garbage when it wants to. What a script may do, and what it answers, is
fakeredis's; `tests/model/test_redis_scripts.py` holds the two against each other.
"""

import hashlib
from typing import Any

from fakeredis._commands import COMMANDS_WITH_SUB
from fakeredis._helpers import SimpleError, decode_command_bytes
from fakeredis._msgs import SCRIPT_ERROR_MSG, WRONG_ARGS_MSG7
from fakeredis._socket import FakeSocket
from fakeredis.commands_mixins.scripting_mixin import (
    LUA_MODULE,
    _check_for_lua_globals,
    _convert_redis_arg,
)

from model.redis.refusals import refuse_unsupported


class ScriptingSocket(FakeSocket):
    """A fakeredis socket that keeps compiled scripts (per server, like its interpreter)."""

    def eval(self, script: bytes, numkeys: int, *keys_and_args: bytes) -> Any:
        """EVAL, and through it EVALSHA."""
        server: Any = self._server
        runtime = self._get_server_runtime(server)
        compiled = server.__dict__.setdefault("_compiled_scripts", {})
        known = compiled.get(script)
        if known is None or not 0 <= numkeys <= len(keys_and_args):
            answer = super().eval(script, numkeys, *keys_and_args)  # checks, and may refuse
            sha = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
            compiled[script] = (sha, runtime.compile(script))
            return answer
        sha, function = known
        server.script_cache[sha] = script  # EVAL teaches it, again after a restart
        server._lua_current_socket[0] = self
        self._script_resp = 2
        server._lua_set_keys_argv(
            runtime.table_from(keys_and_args[:numkeys]),
            runtime.table_from(keys_and_args[numkeys:]),
        )
        try:
            result = function()
        except LUA_MODULE.LuaError as error:
            raise SimpleError(SCRIPT_ERROR_MSG.format(sha.decode(), error)) from error
        finally:
            self._script_resp = None
        _check_for_lua_globals(runtime, server._lua_expected_globals)
        return self._convert_lua_result(result, nested=False)

    def smembers(self, *args: Any) -> Any:
        """SMEMBERS in sorted order; Redis promises none, and fakeredis's depends on the process."""
        return sorted(super().smembers(*args))

    def _lua_redis_call(self, runtime: Any, _expected: set[Any], op: bytes, *args: Any) -> Any:
        name = decode_command_bytes(op)
        refuse_unsupported(name.upper())
        if name in COMMANDS_WITH_SUB and args:
            name += " " + decode_command_bytes(_convert_redis_arg(args[0]))
            args = args[1:]
        function, signature = self._name_to_func(name)
        if function is None:
            raise SimpleError(WRONG_ARGS_MSG7)
        result = self._run_command(function, signature, [*map(_convert_redis_arg, args)], True)
        return self._convert_redis_result(runtime, result)
