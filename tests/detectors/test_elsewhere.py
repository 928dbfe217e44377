"""The second device of the tests: what it takes, what it refuses, what it counts."""

import pytest
import torch
from torch import nn

from tests.elsewhere import AWAY, Elsewhere, MixedDevicesError, is_away


def test_marks_follow_every_way_to_a_tensor():
    with Elsewhere():
        there = torch.ones(2, 3, device=AWAY)
        module = nn.Linear(3, 2).to(AWAY)
        out = module(there)
        out.sum().backward()

        results = [
            *(there.clone(), there[0], there.T, *there.unbind(), there.new_zeros(2)),
            *(torch.zeros_like(there), torch.cat([there, there]), there.max(0).values),
            *(out, module.weight, module.weight.grad, module.weight.data, there + 1.5),
            *(torch.zeros(2).to(there), torch.zeros(2).to(AWAY, non_blocking=True)),
        ]
        assert [is_away(t) for t in results] == [True] * len(results)
        assert {t.device for t in results} == {AWAY}
        assert out.is_cuda
        back = [there.cpu(), there.to("cpu"), torch.zeros(3), torch.ones_like(there, device="cpu")]
        assert [is_away(t) for t in back] == [False] * 4
    assert there.device.type == "cpu"  # it was never anywhere else


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: torch.stack([here, there]),
        lambda here, there: torch.cat([there.sum()[None], here.sum()[None]]),
        lambda here, there: torch.where(there > 0, here, there),
        lambda here, there: here[there.long()],
        lambda here, there: nn.functional.conv1d(there[None, None], here[None, None]),
        lambda here, there: torch._foreach_add_([there], [here]),
        lambda here, there: there.numpy(),
    ],
)
def test_what_cuda_refuses_is_refused(mix):
    with Elsewhere(), pytest.raises((MixedDevicesError, TypeError)):
        mix(torch.ones(3), torch.ones(3, device=AWAY))


def test_numbers_and_indices_of_the_cpu_are_taken():
    with Elsewhere() as elsewhere:
        there = torch.ones(3, device=AWAY)

        assert is_away(there * torch.tensor(2.0))
        assert is_away(there[torch.tensor([0, 1])])

    assert elsewhere.waits == {"upload": 1}


def test_waits_are_counted():
    with Elsewhere() as elsewhere:
        there = torch.ones(3, device=AWAY)
        pinned = torch.empty(3, pin_memory=True)
        pinned[:2].to(AWAY, non_blocking=True), there.copy_(pinned, non_blocking=True)
        assert elsewhere.waits == {}
        pinned[:2].to(AWAY), there.copy_(pinned)
        assert elsewhere.waits.pop("upload") == 2

        there.sum().item(), there.tolist(), bool(there.any()), float(there[0])
        there[there > 0], torch.nonzero(there), torch.equal(there, there)
        there.cpu(), torch.zeros(3).to(AWAY), torch.tensor([1.0], device=AWAY)
        two = torch.ones(2, device=AWAY).sum().long()
        there[:two], there.topk(two), there.new_full((two,), 0.0), 2 in there, f"{two}"

    assert elsewhere.waits == {
        **{"item": 1, "tolist": 1, "__bool__": 1, "__float__": 1, "mask": 1, "nonzero": 1},
        **{"equal": 1, "download": 1, "upload": 2},
        **{"number": 3, "__contains__": 1, "__format__": 1},
    }


def test_files_keep_no_marks(tmp_path):
    with Elsewhere():
        torch.save(torch.ones(3, device=AWAY), tmp_path / "saved.pt")
        back = torch.load(tmp_path / "saved.pt", map_location="cpu", weights_only=True)

    assert not is_away(back)


@pytest.mark.parametrize(
    "mix",
    [
        lambda there: torch.zeros(()).add_(there.sum()),
        lambda there: there.index_select(0, torch.tensor(1)),
        lambda there: torch.take(there, torch.tensor(1)),
    ],
)
def test_numbers_of_the_cpu_are_no_places_and_no_indices(mix):
    with Elsewhere():
        there = torch.ones(3, device=AWAY)
        with pytest.raises(MixedDevicesError):
            mix(there)
