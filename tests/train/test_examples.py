from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from sixrayd.train.examples import Example, ExampleSet

_IMAGE = np.full((64, 64, 3), 200, np.uint8)


def _examples(background=0.5, seed=0):
    positives = tuple(Example(f"P{n}", ((10.0, 10.0, 40.0, 40.0),), (1,)) for n in range(8))
    backgrounds = tuple(Example(f"N{n}", (), ()) for n in range(6))
    return ExampleSet(positives, backgrounds, lambda _: _IMAGE, background, 0.6, 32, seed)


def test_an_epoch_shows_every_positive_once_and_backgrounds_in_turn():
    examples = _examples()

    epochs = [[e.image_id for e in examples.order(epoch)] for epoch in range(3)]

    assert [len(epoch) for epoch in epochs] == [12, 12, 12]
    for epoch in epochs:
        assert sum(i.startswith("P") for i in epoch) == len({i for i in epoch if i[0] == "P"}) == 8
    shown = Counter(i for epoch in epochs for i in epoch if i.startswith("N"))
    assert sorted(shown.values()) == [2] * 6  # 3 epochs of 4 out of 6
    assert epochs[0] != epochs[1]


def test_the_same_seed_gives_the_same_batches_and_another_gives_others():
    batches = [list(_examples(seed=seed).batches(2, 4)) for seed in (5, 5, 6)]

    assert [len(b) for b in batches] == [3, 3, 3]
    first, again, other = ([batch.image_ids for batch in b] for b in batches)
    assert first == again != other
    assert all(torch.equal(a.images, b.images) for a, b in zip(*batches[:2], strict=True))


def test_views_are_the_same_however_many_threads_make_them():
    alone, shared = (list(_examples().batches(1, 4, workers=n)) for n in (1, 5))

    assert len(alone) == len(shared) == 3
    for one, other in zip(alone, shared, strict=True):
        assert one.image_ids == other.image_ids
        assert all(
            torch.equal(getattr(one, key), getattr(other, key))
            for key in ("images", "boxes", "labels")
        )


def test_views_with_fewer_boxes_are_filled_up():
    (batch,) = _examples().batches(0, 12)

    held = [image_id.startswith("P") for image_id in batch.image_ids]
    assert (batch.boxes.shape, batch.labels.shape) == ((12, 1, 4), (12, 1))
    assert (batch.labels[:, 0] == 1).tolist() == held
    assert (batch.boxes[~torch.tensor(held)] == 0).all()


def test_an_epoch_that_is_given_up_makes_no_more_views():
    made = []
    examples = replace(_examples(), decode=lambda image_id: made.append(image_id) or _IMAGE)
    batches = examples.batches(0, 1, workers=1)
    next(batches)

    batches.close()

    assert len(made) <= 4  # of 12: the one that was asked for, and those already begun


def test_a_last_batch_that_is_not_full_is_left_out():
    assert [len(b.image_ids) for b in _examples().batches(0, 5)] == [5, 5]


def test_a_set_smaller_than_a_batch_is_one_batch():
    assert [len(b.image_ids) for b in _examples().batches(0, 50)] == [12]


def _with_hard(count, background=1.0):
    hard = tuple(Example(f"H{n}", (), ()) for n in range(count))
    return replace(_examples(background), hard=hard)


def test_hard_negatives_are_shown_each_epoch_but_fill_at_most_half_of_the_backgrounds():
    few, many = (_with_hard(count) for count in (3, 10))

    for epoch in range(3):
        shown = Counter(e.image_id[0] for e in few.order(epoch))
        assert shown == {"P": 8, "H": 3, "N": 5}
        assert len({e.image_id for e in few.order(epoch) if e.image_id[0] == "H"}) == 3
        assert Counter(e.image_id[0] for e in many.order(epoch)) == {"P": 8, "H": 4, "N": 4}
    turns = Counter(e.image_id for epoch in range(5) for e in many.order(epoch))
    assert sorted(count for i, count in turns.items() if i[0] == "H") == [2] * 10  # 5 × 4 of 10


def test_without_backgrounds_no_hard_negative_is_shown_either():
    assert {e.image_id[0] for e in _with_hard(3, background=0).order(0)} == {"P"}
