"""A foreign WebSocket client (Debian's python3-websockets) talks MCP: URL -> one line of JSON."""
import asyncio
import json
import sys

import websockets


async def main(url):
    seen = {}
    async with websockets.connect(url, subprotocols=["mcp"], max_size=None) as ws:
        async def ask(method, params=None, i=[0]):
            i[0] += 1
            await ws.send(json.dumps({"jsonrpc": "2.0", "id": i[0], "method": method, "params": params or {}}))
            return json.loads(await ws.recv())["result"]

        seen["subprotocol"] = ws.subprotocol
        seen["extensions"] = [extension.name for extension in ws.extensions]
        opened = await ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "py", "version": "1"}})
        seen["revision"] = opened["protocolVersion"]
        run = await ask("tools/call", {"name": "execute_command", "arguments": {"command": "echo from python"}})
        seen["stdout"] = run["structuredContent"]["stdout"]

        async def pieces():
            for piece in ['{"jsonrpc":"2.0",', '"id":"in pieces",', '"method":"ping"}']:
                yield piece
        await ws.send(pieces())
        seen["pieces"] = json.loads(await ws.recv())["id"]
        await (await ws.ping(b"x" * 125))
        seen["pong"] = True
        large = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "ping", "params": {"pad": "x" * (16 << 20)}})
        await ws.send(large)
        seen["large"] = json.loads(await ws.recv())["id"]
    seen["closed"] = ws.close_code
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
