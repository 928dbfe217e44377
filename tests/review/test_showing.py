"""What reviewers see goes to the server in parts that fit into memory."""

from sixrayd.review import showing
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.showing import show_pictures
from tests.workspaces import Picture, Workspace, build_shards


class Shows:
    """A server that keeps the sizes of what it is given at once."""

    def __init__(self):
        self.given = []

    def show_images(self, project, review, images):
        self.given.append([len(data) for data in images.values()])
        return {name: f"/{project}/{review}/{name}" for name in images}


def test_no_more_images_are_held_than_fit_into_memory(tmp_path, monkeypatch):
    pictures = [Picture(f"N{number:07d}") for number in range(7)]
    workspace = Workspace(tmp_path / "w")
    build_shards(workspace, pictures)
    ids, size = [each.image_id for each in pictures], max(len(each.data) for each in pictures)
    names = {image_id: f"shown-{image_id}" for image_id in ids}
    for most in (1, 2 * size, 1 << 30):
        monkeypatch.setattr(showing, "_AT_ONCE", most)
        server = Shows()
        found = show_pictures(server, 5, "first", Pictures(workspace, "first", ids), names)
        assert found == {i: f"/5/first/shown-{i}.jpg" for i in ids}
        assert [sum(part) < most + size for part in server.given] == [True] * len(server.given)
        assert sum(map(len, server.given)) == 7
    assert len(server.given) == 1
