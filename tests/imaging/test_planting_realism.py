"""Planted contraband beside natural contraband: the short form of benchmarks/planting.py."""

import numpy as np
import pytest

from benchmarks.planting import GROUPS, Seen, cross_validated_auc, natural, planted, statistics

pytestmark = pytest.mark.long
SCANS = 20


@pytest.fixture(scope="module")
def features():
    """Of natural ones, of planted ones, and of blanked copies of the planted ones' boxes."""
    pairs = planted(SCANS, 500_000)
    blanked = []
    for _, seen in pairs:
        picture = seen.picture.copy()
        x1, y1, x2, y2 = (round(edge) for edge in seen.box.xyxy)
        picture[y1:y2, x1:x2] = picture[y1:y2, x1:x2].mean(axis=(0, 1))
        blanked.append(Seen(picture, seen.box))
    groups = natural(SCANS, 100_000), [seen for _, seen in pairs], blanked
    return [np.array([statistics(seen) for seen in group]) for group in groups]


def auc(one, other, part):
    both, labels = np.concatenate([one, other])[:, part], np.repeat([0.0, 1.0], SCANS)
    return cross_validated_auc(both, labels, curved=False)


@pytest.mark.parametrize("name", ["light and saturation", "edges", "size"])
def test_light_edges_and_size_do_not_give_planted_items_away(features, name):
    drawn, laid, _ = features

    assert auc(drawn, laid, GROUPS[name]) < 0.65


def test_the_classifier_sees_what_there_is_to_see(features):
    drawn, laid, blanked = features

    assert auc(drawn, blanked, GROUPS["all"]) > 0.9
    assert auc(drawn, laid, GROUPS["all"]) < 0.8
