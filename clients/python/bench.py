"""What this package costs for each cell: empty cells one after the other, beside a bare loop over `websockets`.

    PYTHONPATH=src CELLGATE_BINARY=… python bench.py [CELLS [FLAGS of cellgate serve]]

All are measured in turns against one gateway; printed are medians in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any, Dict, List

import websockets.asyncio.client

import cellgate

ROUNDS = 4


async def bare(url: str, token: str, cells: int) -> List[float]:
    times = []
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.asyncio.client.connect(
        url.replace("http", "ws", 1) + "/ws", additional_headers=headers, compression=None
    ) as socket:
        await socket.recv()
        for n in range(cells):
            before = time.perf_counter()
            await socket.send(json.dumps({"type": "execute", "code": "", "id": str(n)}))
            while json.loads(await socket.recv())["type"] != "done":
                pass
            times.append(time.perf_counter() - before)
        await socket.send('{"type": "end"}')
    return times[cells // 10 :]  # the first ones start the interpreter


async def coroutines(gateway: cellgate.Gateway, cells: int) -> List[float]:
    times = []
    async with gateway.connect_async() as session:
        for _ in range(cells):
            before = time.perf_counter()
            await session.run("")
            times.append(time.perf_counter() - before)
    return times[cells // 10 :]


def blocking(gateway: cellgate.Gateway, cells: int) -> List[float]:
    times = []
    with gateway.connect() as session:
        for _ in range(cells):
            before = time.perf_counter()
            session.run("")
            times.append(time.perf_counter() - before)
    return times[cells // 10 :]


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    measured: Dict[str, List[Any]] = {"bare websockets": [], "AsyncSession": [], "Session": []}
    with cellgate.Gateway(sys.argv[2:]) as gateway:
        for _ in range(ROUNDS):
            measured["bare websockets"] += asyncio.run(bare(gateway.url, gateway.token, cells))
            measured["AsyncSession"] += asyncio.run(coroutines(gateway, cells))
            measured["Session"] += blocking(gateway, cells)
    floor = statistics.median(measured["bare websockets"])
    for name, times in measured.items():
        median = statistics.median(times)
        print(f"{name:16} {median * 1e3:.3f} ms, {max(0.0, median - floor) * 1e3:.3f} ms more than bare")


if __name__ == "__main__":
    main()
