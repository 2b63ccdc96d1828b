"""Does with a library what a test says, and reports what came of it.

A test listens at the address given; each line it sends is a call as JSON, and each line it gets is what the library
handed out: `part` for each piece of a stream, then `result` or `raised`. Nothing here knows the gateway.
"""

import asyncio
import importlib
import json
import os
import socket
import sys


def plain(value):
    """What a library handed out, as JSON has it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", warnings=False)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def told(error):
    """An exception: its type, those it can be caught as, and what a person reads."""
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
    response = getattr(error, "response", None)
    return {
        "type": names[0],
        "is": names,
        "status": getattr(error, "status_code", None),
        "message": str(error),
        "retry_after": response.headers.get("retry-after") if response is not None else None,
    }


class Talk:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.lines = socket.create_connection((host, int(port))).makefile("rw", encoding="utf-8")
        self.client = None
        self.loop = asyncio.new_event_loop()

    def say(self, report):
        self.lines.write(json.dumps(report) + "\n")
        self.lines.flush()

    def client_of(self, call):
        """A client made as a person makes one: of the environment alone."""
        if not call.get("same_client"):
            os.environ.update(call["env"])
            for name in call["unset"]:
                os.environ.pop(name, None)
            module, _, kind = call["client"].rpartition(".")
            self.client = getattr(importlib.import_module(module), kind)(**call["options"])
        return self.client

    def method_of(self, call):
        method = self.client_of(call)
        for name in call["method"].split("."):
            method = getattr(method, name)
        return method

    def given_by_name(self, call):
        """A file is told by its name and content."""
        return {name: (value[0], value[1].encode()) if name == "file" else value for name, value in call["with"].items()}

    def do(self, call):
        result = self.method_of(call)(*call["args"], **self.given_by_name(call))
        if not call["streams"]:
            return plain(result)
        for count, part in enumerate(result, 1):
            self.say({"part": plain(part)})
            if count == call["leave_after"]:
                # What `with` does at its end, and the end of a generator.
                result.close()
                return "left"
        return "ended"

    async def do_async(self, call):
        result = self.method_of(call)(*call["args"], **self.given_by_name(call))
        if hasattr(result, "__await__"):
            result = await result
        if not call["streams"]:
            return plain(result)
        count = 0
        async for part in result:
            count += 1
            self.say({"part": plain(part)})
            if count == call["leave_after"]:
                await (result.aclose() if hasattr(result, "aclose") else result.close())
                return "left"
        return "ended"

    def run(self):
        for line in self.lines:
            call = json.loads(line)
            try:
                if "Async" in call["client"]:
                    result = self.loop.run_until_complete(self.do_async(call))
                else:
                    result = self.do(call)
                self.say({"result": result})
            except Exception as error:
                self.say({"raised": told(error)})


Talk(sys.argv[1]).run()
