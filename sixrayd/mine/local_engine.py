"""Mining on this machine: shards side by side in threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from sixrayd.mine.inference import Inference
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import MineJob, ShardReport, Worker

_AT_ONCE = 2


def mine_here(
    job: MineJob,
    tasks: Iterable[ShardTask],
    at_once: int,
    looked: Callable[[ShardReport], None],
    opened: Callable[[], None] = lambda: None,
) -> Inference:
    """Commit a part for every task; the detector that looked, still open.

    Ctrl-C lets every shard under way finish its batch and save what it has.

    Args:
        at_once: shards under way; 0 means two: while one is in the network, of which there is
            one, the other decodes, suppresses and writes.
        looked: called after every batch, from any thread.
        opened: called once, when the detector is ready and before any shard is begun.

    Raises:
        KeyboardInterrupt: interrupted; all that was looked at is saved.
        ImageError, WorkspaceError: see `Worker.mine`; the other shards save what they have.
    """
    at_once = at_once or _AT_ONCE
    worker = Worker(job, at_once)
    opened()
    waiting = iter(tasks)
    running: set[Future[ShardReport]] = set()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                for task in waiting:
                    running.add(pool.submit(worker.mine, task, looked))
                    if len(running) == at_once:
                        break
                if not running:
                    return worker.inference
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    looked(future.result())
        except BaseException:
            worker.stopping.set()  # leaving the pool waits for what is under way
            raise
