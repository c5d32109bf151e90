import pytest

from piip_explore.errors import InputError
from piip_explore.search import locate
from piip_explore.search.storage import StudyStorage

DIRECTIONS = ["maximize", "minimize"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_means_its_file_in_studies():
    assert locate.study("coco", None) == ("studies/coco.journal", "coco")


@pytest.mark.parametrize("path", ["elsewhere/x.journal", "./x.journal", "x.journal", "x"])
def test_a_path_given_as_a_name_means_the_only_study_of_that_file(folder, path):
    (folder / "elsewhere").mkdir()
    StudyStorage(path, "mine", DIRECTIONS)
    assert locate.study(path, None) == (path, "mine")


def test_a_storage_and_a_name_are_what_they_say():
    assert locate.study("mine", "x.journal") == ("x.journal", "mine")


def test_nothing_given_means_the_only_file_in_studies():
    StudyStorage("studies/one.journal", "one", DIRECTIONS)
    assert locate.study(None, None) == ("studies/one.journal", "one")
    StudyStorage("studies/two.journal", "two", DIRECTIONS)
    with pytest.raises(InputError, match=r"name the study.*one, two"):
        locate.study(None, None)


def test_of_several_studies_in_a_storage_one_is_to_be_named():
    for name in ("a", "b"):
        StudyStorage("x.journal", name, DIRECTIONS)
    with pytest.raises(InputError, match=r"holds several studies, name one: a, b"):
        locate.study(None, "x.journal")
    with pytest.raises(InputError, match="holds several studies"):
        locate.study("./x.journal", None)


def test_a_path_without_a_file_is_named_as_it_was_given():
    with pytest.raises(InputError, match=r"(?<!studies/)missing/x\.journal"):
        locate.study("missing/x.journal", None)


@pytest.mark.parametrize("given", ["shared", "shared/"])
def test_a_folder_given_takes_the_place_of_studies(given):
    StudyStorage("shared/one.journal", "one", DIRECTIONS)
    assert locate.study("one", given) == ("shared/one.journal", "one")
    assert locate.study("other", given) == ("shared/other.journal", "other")
    assert locate.study(None, given) == ("shared/one.journal", "one")
    assert locate.study("shared/", None) == ("shared/one.journal", "one")
    StudyStorage("shared/two.journal", "two", DIRECTIONS)
    with pytest.raises(InputError, match=r"name the study.*in shared: one, two"):
        locate.study(None, given)


def test_hidden_files_are_no_studies(folder):
    StudyStorage("studies/one.journal", "one", DIRECTIONS)
    (folder / "studies/._one.journal").write_bytes(b"\0\5\x16\7")
    assert locate.study(None, None) == ("studies/one.journal", "one")
