"""The graph of a quantised network, looked through before OpenVINO reads it.

OpenVINO computes what gives an operation its shape while it reads: of a chain of operations that a
stranger wrote, any time and memory.
"""

from lxml import etree

from sixrayd.core.markup import parse_xml

# What our networks are made of, and rounding; no operation that makes much of little by itself.
_KINDS = {
    *("Add", "Clamp", "Concat", "Const", "Convert"),
    *("Convolution", "Divide", "FakeQuantize", "Gather", "GroupConvolution"),
    *("Interpolate", "MaxPool", "Maximum", "Multiply", "Parameter"),
    *("ReLU", "ReduceL2", "Result", "ShapeOf", "Subtract"),
}
# Operations that take shapes or make them: what their first input may come from, then the others.
_SHAPING = {
    "Convert": ({"Const", "Gather"}, set[str]()),
    "Interpolate": (_KINDS, {"Const", "Convert", "Gather"}),
    "ReduceL2": (_KINDS, {"Const"}),
    "Gather": ({"ShapeOf"}, {"Const"}),
}


def checked_graph(data: bytes) -> bytes:
    """The XML of a network, as it was understood, so that nobody understands another.

    Raises:
        ValueError: it is none, or has operations that no network here has, or a shape that hangs on
            more than sizes of maps.
    """
    root = parse_xml(data)
    if any("}" in element.tag for element in root.iter()):
        raise ValueError("names a namespace, expected none")
    layers = {int(layer.get("id", "")): layer for layer in root.iter("layer")}
    kinds = {number: layer.get("type", "") for number, layer in layers.items()}
    if strange := sorted(set(kinds.values()) - _KINDS):
        raise ValueError(f"an operation {strange[0][:50]!r}, which no network here has")
    if len(layers) < sum(1 for _ in root.iter("layer")):
        raise ValueError("two layers of one number")
    for edge in root.iter("edge"):
        source, target = (int(edge.get(f"{end}-layer", "")) for end in ("from", "to"))
        if not _may_take(kinds, layers[target], edge.get("to-port", ""), source):
            raise ValueError(f"{kinds[target]} of {kinds[source]}, which no network here has")
    return bytes(etree.tostring(root))


def _may_take(kinds: dict[int, str], layer: etree._Element, port: str, source: int) -> bool:
    """Whether an operation may take an input from another one."""
    kind = layer.get("type", "")
    if kind not in _SHAPING:
        return True
    first = layer.find("input/port")
    others = first is None or int(first.get("id", "")) != int(port)
    return kinds[source] in _SHAPING[kind][others]
