"""Croissant's metadata: where files and tables of an export are, and what their columns mean."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from sixrayd.core.errors import printable
from sixrayd.datasets.export_files import (
    ABSENCE,
    ABSENCE_SCHEMA,
    BOXES,
    DATASET,
    IMAGE_SCHEMA,
    IMAGES,
    PROVENANCE_SCHEMA,
)
from sixrayd.export.about import Facts

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
# Tables by what their rows are; columns of lists are left to who reads the table itself.
_TABLES = {
    "images": (IMAGES, IMAGE_SCHEMA, ["image_id"], "An image of the release a row."),
    "boxes": (BOXES, PROVENANCE_SCHEMA, ["image_id", "object"], "A box a row."),
    "absence": (
        ABSENCE,
        ABSENCE_SCHEMA,
        [],
        "An answer a row about an image of which it is settled what it shows.",
    ),
}
# What each form has, by its key: glob patterns and media type.
_FORMS = {
    "voc": {
        "images": (["VOC2007/JPEGImages/*"], "image/jpeg"),
        "annotations": (["VOC2007/Annotations/*.xml"], "application/xml"),
    },
    "coco": {
        "images": (["coco/images/*"], "image/jpeg"),
        "annotations": (["coco/annotations/*.json"], "application/json"),
    },
    "yolo": {
        "images": (["yolo/images/**/*"], "image/jpeg"),
        "labels": (["yolo/labels/**/*"], "text/plain"),
    },
    "parquet": {"images": (["parquet/data/*.parquet"], "application/x-parquet")},
    "webdataset": {"shards": (["webdataset/*.tar"], "application/x-tar")},
}


def croissant(facts: Facts, files: Mapping[str, str]) -> dict[str, Any]:
    """The metadata, after version 1.0 of the format.

    Args:
        files: SHA-256 of what is there so far, by path.
    """
    terms = facts.terms
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": _name(facts),
        "description": f"{printable(facts.release)}, corrected: {facts.titles} form. {terms.text}",
        "license": terms.source or terms.licence,
        "usageInfo": terms.text,
        **({"url": terms.source} if terms.source else {}),
        "version": facts.version,
        "citeAs": "; ".join(terms.citations.values()),
        "isLiveDataset": False,
        "distribution": [*_objects(files), *_sets(facts)],
        "recordSet": [_records(what) for what in _TABLES],
    }


def _name(facts: Facts) -> str:
    """Letters, digits, `-`, `_`, `.` and blanks, which are all that some catalogues take."""
    said = f"{facts.release} corrected {facts.name}"
    return "".join(sign if sign.isalnum() or sign in "-_. " else "-" for sign in said)


def _objects(files: Mapping[str, str]) -> list[dict[str, Any]]:
    """The tables, and what tells of them."""
    kinds = {path: "application/x-parquet" for path, *_ in _TABLES.values()}
    kinds[DATASET] = "application/json"
    return [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "encodingFormat": kind,
            "sha256": files[path],
        }
        for path, kind in kinds.items()
    ]


def _sets(facts: Facts) -> list[dict[str, Any]]:
    """The files of each form."""
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"{form}-{what}",
            "name": f"{form}-{what}",
            "encodingFormat": kind,
            "includes": patterns if len(patterns) > 1 else patterns[0],
        }
        for form in facts.forms
        for what, (patterns, kind) in _FORMS.get(form, {}).items()
    ]


def _records(what: str) -> dict[str, Any]:
    path, schema, key, text = _TABLES[what]
    found: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": what,
        "name": what,
        "description": text,
        "field": [
            _field(what, path, column) for column in schema if not pa.types.is_nested(column.type)
        ],
    }
    return found | ({"key": [{"@id": f"{what}/{name}"} for name in key]} if key else {})


def _field(what: str, path: str, column: pa.Field) -> dict[str, Any]:
    named = f"{what}/{column.name}"
    of_images = {"references": {"field": {"@id": "images/image_id"}}}
    return {
        "@type": "cr:Field",
        "@id": named,
        "name": column.name,
        "dataType": _data_type(column.type),
        "source": {"fileObject": {"@id": path}, "extract": {"column": column.name}},
        **(of_images if column.name == "image_id" and what != "images" else {}),
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
