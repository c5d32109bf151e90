"""From a chosen design to real training: one module per target, and the way back.

from piip_explore.export import exporter, write_files
write_files(exporter("official-detection").export(design), Path("out"))
"""

from piip_explore.export.exporter import TARGETS, Exporter, Files, Misfit, Origin, exporter, write_files

__all__ = ["TARGETS", "Exporter", "Files", "Misfit", "Origin", "exporter", "write_files"]
