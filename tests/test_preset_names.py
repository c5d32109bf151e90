"""The table of presets says what the recipes are."""

import pytest

from piip_explore import preset_names, proxy
from piip_explore.errors import InputError
from piip_explore.proxy.data import EmbeddedScenes


def test_every_preset_has_its_line_with_its_task():
    assert {name: preset.task.name for name, preset in proxy.PRESETS.items()} == {
        name: line.task for name, line in preset_names.PRESETS.items()
    }
    assert all(isinstance(proxy.PRESETS[name].data, EmbeddedScenes) for name in preset_names.PRESETS)


@pytest.mark.parametrize("key", preset_names.USUAL)
def test_the_usual_preset_of_a_task_trains_it_on_that_hardware(key):
    line = preset_names.PRESETS[preset_names.USUAL[key]]
    assert (line.task, line.hardware) == key
    assert preset_names.usual_preset(key[0], "cpu" if key[1] == "cpu" else "cuda:0") == preset_names.USUAL[key]


def test_no_preset_trains_multimodal_models():
    with pytest.raises(InputError, match=r"no proxy preset trains multimodal models: choose a near task with --task"):
        preset_names.usual_preset("multimodal", "cpu")


def test_a_preset_on_own_data_is_known_by_its_first_part():
    assert preset_names.check_preset("cpu-detection@coco:/data").task == "detection"
    with pytest.raises(InputError, match="did you mean 'cpu-detection'"):
        preset_names.check_preset("cpu-detectoin@coco:/data")
