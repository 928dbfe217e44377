"""Tasks of images that left the release: nobody is to spend time on them any more."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from sixrayd.core.index import Index
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.planting.planted import planted_rows
from sixrayd.review.server import ReviewServer


def end_tasks_of_gone(folder: ReviewFolder, project: Project, server: ReviewServer) -> Counter[int]:
    """Delete on the server what nobody has begun to answer of images that the release has no more,
    and forget these tasks, with those that the server lacks; how many were deleted, by project.

    Call it once the server is known to be the one that the review was pushed to.

    Raises:
        ServiceError: the server is down or refuses.
    """
    rows = folder.tasks()
    open_ = _unanswered_of_gone(folder, rows)
    if not open_:
        return Counter()
    images = folder.images_by_alias(project)
    there, ended = set[tuple[str, str]](), Counter[int]()
    for book in project.books:
        number = server.find_project(project.book_key(book))
        if number is None or book.lane not in {lane for lane, _ in open_}:
            continue
        for task in server.all_tasks(number):  # by their keys: numbers are given again
            where = (book.lane, images.get(project.alias_in(book.lane, task.key), ""))
            if where in open_ and task.untouched and server.delete_task(task.task_id):
                ended[number] += 1
            elif where in open_:
                there.add(where)
    over = open_ - there
    folder.reopen()
    folder.write_tasks(row for row in rows if (row["lane"], row["image_id"]) not in over)
    return ended


def _unanswered_of_gone(
    folder: ReviewFolder, rows: Collection[dict[str, Any]]
) -> set[tuple[str, str]]:
    """Lane and image of tasks without an answer that was pulled."""
    index = Index.load(folder.workspace)
    here = {row["image_id"] for row in planted_rows(folder.workspace, folder.name)}
    gone = {
        (row["lane"], row["image_id"])
        for row in rows
        if row["image_id"] not in index and row["image_id"] not in here
    }
    if not gone:
        return gone
    said = (*folder.decisions(), *folder.decisions(planted=True))
    return gone - {(row["lane"], row["image_id"]) for row in said}
