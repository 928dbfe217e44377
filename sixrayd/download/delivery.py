"""Shards at a URL beside those of the workspace: whole, known by their hashes, never mixed up."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import check_plain
from sixrayd.core.store import Store, absolute_url

_AT_ONCE = 4  # shards


def shards_store(folder: Path, url: str) -> Store | None:
    """Where shards go as well; None where nowhere.

    Args:
        folder: `shards/` of the workspace.

    Raises:
        SettingsError: the URL is that folder, or inside it.
        WorkspaceError: it cannot be reached.
    """
    if not url:
        return None
    store = Store(absolute_url(url))
    path = store.local("any")
    if path and path.parent.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(f"shards-at: {store.place} is the workspace's own; leave it out")
    store.names()
    return store


def put_shard(store: Store, shard: Path, sha256: str, force: bool) -> None:
    """Have a shard at the store, and beside it its hash in a file that `sha256sum -c` reads.

    Args:
        force: replace what else is there by its name.

    Raises:
        WorkspaceError: something else is, and is to stay; it cannot be written; or another ingest
            writes there now.
    """
    mark, said = f"{shard.name}.sha256", f"{sha256}  {shard.name}\n".encode()
    if store.exists(shard.name):
        if _says(store, mark, said):
            return
        if not force:
            raise WorkspaceError(
                f"{store.place}/{shard.name}: is there, and not of this ingest; name another "
                "folder with --shards-at, or pass --force to replace it"
            )
        store.delete(shard.name)
    store.write_bytes(mark, said)  # first: a shard beside its own hash is whole
    check_plain(shard)
    with pa.memory_map(str(shard)) as file:
        store.write_bytes(shard.name, file.read_buffer())
    if not _says(store, mark, said):
        store.delete(shard.name)  # else it would pass for the other's
        raise WorkspaceError(
            f"{store.place}/{mark}: another ingest writes there now; end one of them, and run the "
            "other again"
        )


def _says(store: Store, mark: str, said: bytes) -> bool:
    if not store.exists(mark):
        return False
    with store.open(mark) as file:
        return file.read(len(said) + 1) == said


def deliver(folder: Path, outputs: Mapping[str, str], store: Store, force: bool) -> None:
    """Put every shard of a finished ingest that the store lacks.

    Args:
        outputs: file → hash of its bytes.
    """
    shards = {name: sha256 for name, sha256 in outputs.items() if name.endswith(".tar")}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [
            pool.submit(put_shard, store, folder / name, sha256, force)
            for name, sha256 in shards.items()
        ]:
            done.result()
