"""The forms that a dataset is written in: each is a file and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass

from sixrayd.export.coco import coco_files, coco_path
from sixrayd.export.content import ExportedImage, Writer
from sixrayd.export.parquet import parquet_files
from sixrayd.export.voc_tree import voc_path, voc_tree
from sixrayd.export.webdataset import webdataset_shards
from sixrayd.export.yolo import yolo_files, yolo_path

VOC = "voc"


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a dataset.

    Args:
        title: what help calls it.
        write: writes the files, below a folder of its own, but for images that are files. Lists,
            states and the card are there in any case.
        image_path: where an image is to be a file; None where the form holds images itself.
    """

    title: str
    write: Writer
    image_path: Callable[[ExportedImage], str] | None = None


FORMS = {
    VOC: Form("PASCAL VOC 2007", voc_tree, voc_path),
    "coco": Form("COCO", coco_files, coco_path),
    "yolo": Form("YOLO", yolo_files, yolo_path),
    "parquet": Form("Hugging Face's Parquet", parquet_files),
    "webdataset": Form("WebDataset", webdataset_shards),
}
