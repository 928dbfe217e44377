"""The forms that a dataset is written in: each is a file and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass

from sixrayd.core.staging import Staging
from sixrayd.export.content import Content
from sixrayd.export.voc_tree import write_voc_tree

VOC = "voc"


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a dataset.

    Args:
        title: what help calls it.
        write: writes the files, below a folder of its own. Lists, states and the card are there in
            any case.
    """

    title: str
    write: Callable[[Staging, Content], None]


FORMS = {VOC: Form("PASCAL VOC 2007", write_voc_tree)}
