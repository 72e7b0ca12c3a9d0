"""Lua on the simulated Redis, without paying for the same script again at each call.

fakeredis compiles a script, lists Lua's globals for each `redis.call` and runs a full garbage
collection, every time. Here a script is compiled once, and Lua collects its garbage when it wants
to. Globals are sealed, as in Redis 7: a script can neither make one nor reach one that is not
there, so nothing of one script is left for the next. `tests/model/test_redis_scripts.py` holds the
answers against fakeredis's, `tests/conformance` against a real server's.
"""

import ast
import hashlib
from typing import Any

from fakeredis._commands import COMMANDS_WITH_SUB
from fakeredis._helpers import SimpleError, decode_command_bytes
from fakeredis._msgs import NEGATIVE_KEYS_MSG, TOO_MANY_KEYS_MSG, WRONG_ARGS_MSG7
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE, _convert_redis_arg

from model.redis.corrections import CorrectedSocket
from model.redis.refusals import refuse_in_lua, refuse_unsupported

# Names that Redis's sandbox does not have; and what a name that is not there means.
_SEAL = """
local refuse, sha1hex = ...
for _, name in ipairs({'os', 'io', 'dofile', 'loadfile', 'require', 'module', 'package', 'python',
                       'print', 'newproxy'}) do
  _G[name] = nil
end
math.random = function() refuse('math.random') end
math.randomseed = math.random
redis.sha1hex = sha1hex
setmetatable(_G, {
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
  __index = function(_, name)
    refuse(name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
})
"""


class ScriptingSocket(CorrectedSocket):
    """A fakeredis socket that keeps compiled scripts (per server, like its interpreter)."""

    def eval(self, script: bytes, numkeys: int, *keys_and_args: bytes) -> Any:
        """EVAL, and through it EVALSHA."""
        server: Any = self._server
        if numkeys > len(keys_and_args):
            raise SimpleError(TOO_MANY_KEYS_MSG)
        if numkeys < 0:
            raise SimpleError(NEGATIVE_KEYS_MSG)
        runtime = self._get_server_runtime(server)
        sha, function = self._compiled(script)
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
            raise SimpleError(f"ERR {_told(error)}") from error
        finally:
            self._script_resp = None
        return self._convert_lua_result(result, nested=False)

    def _compiled(self, script: bytes) -> tuple[bytes, Any]:
        """The script's hash and the function it is, compiled when it is first met."""
        server: Any = self._server
        compiled = server.__dict__.setdefault("_compiled_scripts", {})
        known: tuple[bytes, Any] | None = compiled.get(script)
        if known is None:
            sha = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()
            try:
                function = self._get_server_runtime(server).compile(script, name=b"@user_script")
            except LUA_MODULE.LuaError as error:
                told = _told(error).removeprefix("error loading code: ")
                if told.startswith(("b'", 'b"')):  # lupa, without an encoding
                    told = ast.literal_eval(told).decode(errors="replace")
                raise SimpleError(f"ERR Error compiling script (new function): {told}") from error
            known = compiled[script] = (sha, function)
        return known

    def script_load(self, *args: bytes) -> Any:
        """SCRIPT LOAD; a text that is not Lua is refused at once."""
        if len(args) == 1:
            self._compiled(args[0])
        return super().script_load(*args)

    def _get_server_runtime(self, server: Any) -> Any:
        is_new = "_lua_runtime" not in server.__dict__
        runtime = super()._get_server_runtime(server)
        if is_new:
            runtime.compile(_SEAL)(
                lambda name: refuse_in_lua(name.decode()),
                lambda text: hashlib.sha1(text, usedforsecurity=False).hexdigest().encode(),
            )
        return runtime

    def _convert_lua_result(self, result: Any, nested: bool = True) -> Any:  # noqa: FBT001, FBT002
        """A number beyond 64 bits becomes the smallest one, as in C."""
        answer = super()._convert_lua_result(result, nested)
        if type(answer) is int and not -(2**63) <= answer < 2**63:
            return -(2**63)
        return answer

    def smembers(self, *args: Any) -> Any:
        """SMEMBERS in sorted order; Redis promises none, and fakeredis's depends on the process."""
        return sorted(super().smembers(*args))

    def _lua_redis_call(self, runtime: Any, _expected: set[Any], op: bytes, *args: Any) -> Any:
        name = decode_command_bytes(op)
        refuse_unsupported(name.upper())
        if name in COMMANDS_WITH_SUB and args:
            name += " " + decode_command_bytes(_convert_redis_arg(args[0]))
            args = args[1:]
        try:
            function, signature = self._name_to_func(name)
        except SimpleError:
            raise SimpleError("ERR Unknown Redis command called from script") from None
        if function is None:
            raise SimpleError(WRONG_ARGS_MSG7)
        result = self._run_command(function, signature, [*map(_convert_redis_arg, args)], True)
        return self._convert_redis_result(runtime, result)


def _told(error: Exception) -> str:
    """What Lua says, without its traceback."""
    return str(error).partition("\nstack traceback:")[0]
