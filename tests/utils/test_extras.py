import pytest

from infinitedance.utils.extras import is_installed, require_extra


def test_a_missing_package_says_how_to_install_its_extra_from_the_registry_and_from_a_checkout():
    with pytest.raises(ImportError) as error:
        require_extra("no_such_package", "video", "Writing a video")
    assert str(error.value) == (
        "Writing a video needs the package `no_such_package`: `pip install 'infinitedance[video]'`, or "
        "`pip install '.[video]'` in a checkout."
    )


def test_a_package_that_is_there_is_no_error():
    assert is_installed("json") and not is_installed("no_such_package")
    require_extra("json", "video", "Reading")
