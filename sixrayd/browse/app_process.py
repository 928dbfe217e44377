"""FiftyOne's app behind its guard, in a process of its own that ends with its caller."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from sixrayd.browse.fiftyone_adapter import load_app
from sixrayd.browse.guard import guarded
from sixrayd.browse.lifeline import BoundLog, when_it_breaks
from sixrayd.browse.media import ShardImages


def _main() -> None:
    """Serve what the first line of the input says, on a socket that is open already."""
    orders = json.loads(sys.stdin.buffer.readline())
    images = ShardImages.of(Path(orders["workspace"]))
    app: Any = guarded(load_app(), orders["token"], orders["hosts"], images.read)
    logging.getLogger("asyncio").addFilter(BoundLog())  # whom anybody has write there
    config = Config()
    config.bind = [f"fd://{orders['socket']}"]
    when_it_breaks(lambda: os._exit(0))  # pages hold connections open, and nothing is unsaved here
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    _main()
