"""How long designs take on a device, before they are trained: a few parts are timed, and every design follows.

    piip-explore measure-device SPACE.yaml --device cuda:0 --name h100

writes a device profile; `load("h100").model` then predicts the latency of a design, or of all designs of a space.
Torch is loaded only to measure.
"""

from piip_explore.latency.device_profile import DeviceProfile, load
from piip_explore.latency.limits import enumerate_space
from piip_explore.latency.model import Error, LatencyModel

__all__ = ["DeviceProfile", "Error", "LatencyModel", "enumerate_space", "load"]
