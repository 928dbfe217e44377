"""The workspace's own server shows what was sent, wherever the workspace is now."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sixrayd.core.records import LOCAL
from sixrayd.core.shards import extension
from sixrayd.core.storage import refusals_told
from sixrayd.core.workspace import Workspace
from sixrayd.imaging.decode import browsable
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.server import ReviewServer, connect

_AT_ONCE = 256 << 20  # bytes of images in memory


@dataclass(frozen=True, slots=True)
class ShownAgain:
    """What `show_all` saw to: images that were sent, and those of them that were missing."""

    images: int
    written: int


def show_pictures(
    server: ReviewServer, project: int, review: str, pictures: Pictures, names: Mapping[str, str]
) -> dict[str, str]:
    """Have tasks of a project show images as browsers do; their addresses by image id.

    No more than `_AT_ONCE` bytes of images and one image are held: a small TIFF is a PNG of 150 MB.

    Args:
        review: name of the review.
        names: what an image is called on the server, without the suffix, by image id.
    """
    addresses, images, held = dict[str, str](), dict[str, tuple[str, bytes]](), 0

    def show() -> None:
        shown = server.show_images(project, review, dict(images.values()))
        addresses.update({image_id: shown[file] for image_id, (file, _) in images.items()})
        images.clear()

    for image_id, name in names.items():
        data = browsable(pictures.read(image_id), image_id)
        images[image_id] = (name + extension(data), data)
        held += len(data)
        if held >= _AT_ONCE:
            show()
            held = 0
    if images:
        show()
    return addresses


def show_again(
    server: ReviewServer,
    review: str,
    project: Project,
    pictures: Pictures,
    image_ids: Iterable[str],
) -> int:
    """Have a server show images of tasks from where they are now; how many were missing.

    The tasks, and what people did in them, are not touched. Images that the release has no more
    stay as they are.
    """
    here = (image_id for image_id in image_ids if image_id in pictures)
    aliases = {project.alias(image_id): image_id for image_id in here}
    lost = server.lost_images(review, aliases)
    for number in project.numbers():
        server.show_images(number, review, {})
    if names := {aliases[alias]: alias for alias in lost}:
        show_pictures(server, project.numbers()[0], review, pictures, names)
    return len(lost)


def show_all(workspace: Workspace) -> ShownAgain:
    """Have the workspace's own server, which is up, show the images of all reviews again.

    Raises:
        ServiceError: it does not answer, or refuses.
        ShardError: a shard is gone or has changed since it was indexed.
        WorkspaceError: an image cannot be written, or a planted one is gone.
    """
    images = written = 0
    with refusals_told(workspace.root), connect(workspace, "", None) as server:
        for folder, project in _sent_here(workspace, server):
            ids = {row["image_id"] for row in folder.tasks()}
            pictures = Pictures(workspace, folder.name, ids)
            written += show_again(server, folder.name, project, pictures, ids)
            images += len(ids)
    return ShownAgain(images, written)


def _sent_here(
    workspace: Workspace, server: ReviewServer
) -> Iterator[tuple[ReviewFolder, Project]]:
    """Reviews on the workspace's own server, their books as it knows them."""
    for path in sorted(workspace.folder("review").glob("[!.]*/project.json")):
        folder = ReviewFolder(workspace, path.parent.name)
        project = folder.project()
        if project is None or project.server != LOCAL:
            continue
        found = [(book, server.find_project(project.book_key(book))) for book in project.books]
        books = tuple(replace(book, number=number) for book, number in found if number)
        if books and folder.tasks():
            yield folder, replace(project, books=books)
