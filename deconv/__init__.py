"""Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014).

`build` or `wrap` a network, `record` images through it, `project` units to pixels, find the
`top_activations` in a data set and a unit's `receptive_field`, `occlude` an image, or translate,
scale and rotate it (`transform_response`).
"""

from deconv.deconvnet.attribution import Deconvnet
from deconv.deconvnet.blank import Trace, trace
from deconv.deconvnet.projection import project
from deconv.errors import DeadUnitWarning, DeconvError, NoRuleWarning, RenamedWeightsWarning
from deconv.fields import receptive_field
from deconv.mining.peak_views import PeakViews, peak_views, project_peaks
from deconv.mining.top_activations import top_activations
from deconv.networks import MODELS, Network, WrappedNet, build, wrap
from deconv.records import Peaks, Record
from deconv.studies.invariance.response import TransformResponse, transform_response
from deconv.studies.occlusion.maps import OcclusionMaps, occlude
from deconv.training.snapshots import Snapshot, load_snapshot, save_snapshot

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
