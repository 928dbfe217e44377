# The names of `sixrayd.api`; their modules are imported when a name is first asked for.
from .benchmark.settings import BenchmarkSettings as BenchmarkSettings
from .benchmark.stage import benchmark as benchmark
from .browse.stage import BrowseSettings as BrowseSettings
from .browse.stage import browse as browse
from .core.classes import ClassList as ClassList
from .core.errors import SixraydError as SixraydError
from .core.workspace import Workspace as Workspace
from .download.settings import DownloadSettings as DownloadSettings
from .download.stage import download as download
from .estimate.certify import certify as certify
from .estimate.sample import draw_sample as draw_sample
from .estimate.settings import (
    EstimateSettings as EstimateSettings,
)
from .estimate.settings import (
    SampleSettings as SampleSettings,
)
from .estimate.settings import (
    Target as Target,
)
from .estimate.stage import estimate as estimate
from .export.stage import ExportSettings as ExportSettings
from .export.stage import export as export
from .mine.external import ExternalSettings as ExternalSettings
from .mine.external import take_detections as take_detections
from .mine.settings import MineSettings as MineSettings
from .mine.stage import mine as mine
from .review.agreement import AgreementSettings as AgreementSettings
from .review.agreement import agreement as agreement
from .review.next_round import NextSettings as NextSettings
from .review.next_round import next_round as next_round
from .review.planting.plant import PlantSettings as PlantSettings
from .review.planting.plant import plant as plant
from .review.pull import PullSettings as PullSettings
from .review.pull import pull as pull
from .review.push import (
    AdjudicateSettings as AdjudicateSettings,
)
from .review.push import (
    PushSettings as PushSettings,
)
from .review.push import (
    adjudicate as adjudicate,
)
from .review.push import (
    push as push,
)
from .review.withdraw import WithdrawSettings as WithdrawSettings
from .review.withdraw import withdraw as withdraw
from .statistics.certificate import BoundSettings as BoundSettings
from .synth import SynthSettings as SynthSettings
from .synth import synthesize as synthesize
from .train.settings import TrainSettings as TrainSettings
from .train.stage import train as train
from .verify.stage import verify as verify
