"""What designs cost on a device: latency, throughput and memory, measured."""

from piip_explore.device.profile import Profile, StepTiming, profile

__all__ = ["Profile", "StepTiming", "profile"]
