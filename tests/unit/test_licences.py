"""Every dependency's licence is listed, and no image has one that may not be handed on."""

import re
import sysconfig
from pathlib import Path

from tools.licences.bundled import BUNDLED, carried
from tools.licences.metadata import locked
from tools.licences.page import DEVELOPING, PAGE, is_allowed, shipped


def test_the_page_lists_all_that_is_locked() -> None:
    listed = re.findall(r"^\| (\S+) \| (\S+) \| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    packages = {*shipped(), *locked(DEVELOPING)}

    assert {(each.name, each.version) for each in packages} <= {
        (name, version) for name, version, _ in listed
    }, "run make licences"
    assert "not told" not in {licence for _, _, licence in listed}


def test_no_image_has_what_may_not_be_handed_on() -> None:
    assert len(shipped()) > 50
    for package in shipped():
        assert is_allowed(package.licence), package


def test_what_wheels_bring_along_is_listed() -> None:
    listed = {
        package: {
            name for each in BUNDLED if each.package == package for name in each.files.split()
        }
        for package in {each.package for each in BUNDLED}
    }

    found = carried(Path(sysconfig.get_paths()["platlib"]))

    assert {"av", "numpy"} <= set(found)
    for package, names in found.items():
        assert names <= listed[package], package


def test_one_of_two_licences_is_enough_and_one_of_two_parts_is_not() -> None:
    assert is_allowed("GPL-3.0-only OR MIT")
    assert is_allowed("BSD-3-Clause AND (GPL-3.0-only OR Zlib)")
    assert not is_allowed("BSD-3-Clause AND GPL-3.0-only")
    assert not is_allowed("")
