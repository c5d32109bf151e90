"""Images to train on: the interface of a data source and the sources behind it."""

from piip_explore.proxy.data.embedded import EmbeddedScenes
from piip_explore.proxy.data.folders import FolderSource, open_folder
from piip_explore.proxy.data.scenes import SceneRules
from piip_explore.proxy.data.source import IGNORE, DataSource, Samples

__all__ = ["IGNORE", "DataSource", "EmbeddedScenes", "FolderSource", "Samples", "SceneRules", "open_folder"]
