# The names of `sixrayd.api`; their modules are imported when a name is first asked for.
from .audit.settings import AuditSettings as AuditSettings
from .audit.stage import audit as audit
from .benchmark.settings import BenchmarkSettings as BenchmarkSettings
from .benchmark.stage import benchmark as benchmark
from .browse.settings import BrowseSettings as BrowseSettings
from .browse.stage import browse as browse
from .core.classes import ClassList as ClassList
from .core.errors import SixraydError as SixraydError
from .core.index import Index as Index
from .core.index import load_annotations as load_annotations
from .core.workspace import Workspace as Workspace
from .crop.settings import TdcSettings as TdcSettings
from .crop.tdc_forms import TdcCropper as TdcCropper
from .datasets.recognising import open_place as open_place
from .decisions.decision import load_decisions as load_decisions
from .decisions.decision import standing_decisions as standing_decisions
from .detectors.checkpoints import load_checkpoint as load_checkpoint
from .detectors.onnx import OnnxPredictor as OnnxPredictor
from .detectors.onnx import export_onnx as export_onnx
from .diff.compare import diff as diff
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
from .export.settings import ExportSettings as ExportSettings
from .export.stage import export as export
from .imaging.decode import decode_rgb as decode_rgb
from .mine.external import ExternalSettings as ExternalSettings
from .mine.external import take_detections as take_detections
from .mine.settings import MineSettings as MineSettings
from .mine.stage import mine as mine
from .patch.settings import PatchSettings as PatchSettings
from .patch.stage import patch as patch
from .plan.settings import CampaignSettings as CampaignSettings
from .plan.stage import plan as plan
from .report.stage import report as report
from .review.agreement import agreement as agreement
from .review.next_round import next_round as next_round
from .review.planting.plant import plant as plant
from .review.pull import pull as pull
from .review.push import (
    adjudicate as adjudicate,
)
from .review.push import (
    push as push,
)
from .review.settings import AdjudicateSettings as AdjudicateSettings
from .review.settings import AgreementSettings as AgreementSettings
from .review.settings import NextSettings as NextSettings
from .review.settings import PlantSettings as PlantSettings
from .review.settings import PullSettings as PullSettings
from .review.settings import PushSettings as PushSettings
from .review.settings import WithdrawSettings as WithdrawSettings
from .review.withdraw import withdraw as withdraw
from .statistics.settings import BoundSettings as BoundSettings
from .synth import SynthSettings as SynthSettings
from .synth import synthesize as synthesize
from .train.settings import TrainSettings as TrainSettings
from .train.stage import train as train
from .validate.settings import ValidateSettings as ValidateSettings
from .validate.stage import validate as validate
from .verify.stage import verify as verify
