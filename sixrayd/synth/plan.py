"""Which pictures a release holds: names, kinds, and who repeats whose bags."""

from dataclasses import dataclass

import numpy as np

from sixrayd.synth.scene import Kind
from sixrayd.synth.settings import SynthSettings

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """One picture to be drawn.

    Args:
        number: seeds what differs between pictures of the same bags.
        scene: seeds the bags; pictures that share it are near-duplicates.
        scene_kind: the kind of bags, which a hidden copy of a positive shares with it.
    """

    name: str
    kind: Kind
    number: int
    scene: int
    scene_kind: Kind

    @property
    def repeated(self) -> bool:
        """Whether another picture showed these bags first."""
        return self.scene != self.number


def plan_release(settings: SynthSettings) -> tuple[ImagePlan, ...]:
    """All pictures in the order of the archive: positives first, then negatives by number."""
    rng = np.random.default_rng(np.random.SeedSequence((settings.seed, 0)))
    positives = round(settings.images * settings.positives)
    negatives = settings.images - positives
    hidden = round(negatives * settings.hidden)
    numbers = np.arange(settings.images)
    shuffled = positives + rng.permutation(negatives)
    groups: dict[Kind, list[int]] = {
        "positive": [int(n) for n in numbers[:positives]],
        "hidden": sorted(int(n) for n in shuffled[:hidden]),
        "clean": sorted(int(n) for n in shuffled[hidden:]),
    }
    plans: dict[int, ImagePlan] = {}
    for kind, members in groups.items():
        sources = _scenes(members, settings.duplicates, rng)
        for number in members:
            name = _name(number, positives)
            plans[number] = ImagePlan(name, kind, number, sources[number], kind)
    _copy_positives(plans, groups, settings.hidden_copies, rng)
    return tuple(plans[number] for number in sorted(plans))


def _name(number: int, positives: int) -> str:
    if number < positives:
        return f"P{number + 1:05d}"
    return f"N{number - positives + 1:07d}"


def _scenes(members: list[int], share: float, rng: Rng) -> dict[int, int]:
    """Scene of every member: its own, or for a share of them another member's."""
    order = [int(n) for n in rng.permutation(members)] if members else []
    repeats = min(round(len(order) * share), max(0, len(order) - 1))
    originals = order[repeats:]
    scenes = {number: number for number in originals}
    for number in order[:repeats]:
        scenes[number] = originals[int(rng.integers(len(originals)))]
    return scenes


def _copy_positives(
    plans: dict[int, ImagePlan], groups: dict[Kind, list[int]], share: float, rng: Rng
) -> None:
    """Let a share of the hidden show a positive's bags; ones that others repeat stay."""
    shown = {plan.scene for plan in plans.values() if plan.repeated}
    free = [n for n in groups["hidden"] if not plans[n].repeated and n not in shown]
    count = min(round(len(groups["hidden"]) * share), len(free))
    originals = [n for n in groups["positive"] if not plans[n].repeated]
    if not originals or not count:
        return
    for number in rng.permutation(free)[:count]:
        source = originals[int(rng.integers(len(originals)))]
        plan = plans[int(number)]
        plans[plan.number] = ImagePlan(plan.name, plan.kind, plan.number, source, "positive")
