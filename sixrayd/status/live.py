"""What the workspace's own review server knows and the workspace may not."""

from sixrayd.advice.reviews import OnServer, Reviews
from sixrayd.core.errors import SixraydError
from sixrayd.core.records import LOCAL
from sixrayd.core.workspace import Workspace
from sixrayd.review.settings import StatusSettings
from sixrayd.review.status import review_status


def ask_server(workspace: Workspace) -> tuple[dict[str, OnServer], str]:
    """Its answers by review, and why not all could be had; nothing where it does not run."""
    reviews = Reviews(workspace, {})
    told: dict[str, OnServer] = {}
    if not reviews.server_is_up():
        return told, ""
    for state in reviews.states:
        if state.server != LOCAL or not state.whole:
            continue
        try:
            found = review_status(workspace, StatusSettings(state.name))
        except SixraydError as error:
            return told, str(error)
        counts = (found.not_pulled, found.unsettled, found.lacking, found.skipped)
        told[state.name] = OnServer(found.progress.by_lane, *counts)
    return told, ""
