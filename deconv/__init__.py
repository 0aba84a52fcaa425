"""Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", to build on.

build a network, `record` images through it, `project` units to pixels, mine a data set for
`top_activations`, ask for a unit's `receptive_field`, `occlude` an image, shift, enlarge or turn
it (`transform_response`).
"""

from deconv.attribution import Deconvnet
from deconv.errors import DeadUnitWarning, DeconvError, NoRuleWarning, RenamedWeightsWarning
from deconv.geometry import receptive_field
from deconv.invariance import TransformResponse, transform_response
from deconv.models import MODELS, Network, WrappedNet, build, wrap
from deconv.occlusion import OcclusionMaps, occlude
from deconv.peak_views import PeakViews, peak_views, project_peaks
from deconv.projection import project
from deconv.snapshots import Snapshot, load_snapshot, save_snapshot
from deconv.top_activations import top_activations
from deconv.types import Peaks, Record
from deconv.way_down import Trace, trace

__version__ = "0.1.0"
__all__ = [
    "MODELS",
    "DeadUnitWarning",
    "DeconvError",
    "Deconvnet",
    "Network",
    "NoRuleWarning",
    "OcclusionMaps",
    "PeakViews",
    "Peaks",
    "Record",
    "RenamedWeightsWarning",
    "Snapshot",
    "Trace",
    "TransformResponse",
    "WrappedNet",
    "build",
    "load_snapshot",
    "occlude",
    "peak_views",
    "project",
    "project_peaks",
    "receptive_field",
    "save_snapshot",
    "top_activations",
    "trace",
    "transform_response",
    "wrap",
]
