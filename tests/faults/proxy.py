"""A network of one's own: a TCP proxy on loopback that can be cut, swallow everything, or be slow."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Literal

from tests.services import free_port

Weather = Literal["fine", "cut", "black hole", "slow"]
"""Cut: connections are closed, and new ones too. Black hole: they stay open and nothing comes through, either way."""

SLOW_SECONDS = 0.15  # for each piece, there and back
SLOW_BYTES = 64 * 1024


class Proxy:
    """Forwards 127.0.0.1:`port` to 127.0.0.1:`target`, in a thread of its own, as `weather` allows."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self.kind: Weather = "fine"
        self._fine = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.weather("fine")

    def weather(self, weather: Weather) -> None:
        """Change what happens to bytes, now and from now on."""
        self._do(self._change(weather))

    def close(self) -> None:
        """Drop all connections and stop listening."""
        self.weather("cut")
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _change(self, weather: Weather) -> None:
        self.kind = weather
        if weather == "black hole":
            self._fine.clear()
        else:
            self._fine.set()
        if weather == "cut":
            for writer in list(self._writers):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.kind == "cut":
                writer.transport.abort()
                return
            await self._fine.wait()
            try:
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
            except OSError:
                writer.transport.abort()
                return
            self._writers.add(back)
            try:
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(SLOW_BYTES):
                if self.kind == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                await self._fine.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
