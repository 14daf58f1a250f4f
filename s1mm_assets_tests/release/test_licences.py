"""Tests of s1mm_assets.release.licences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.release import ReleaseSettings
from s1mm_assets.release.licences import UNKNOWN, Licence, read_licence

SAID = {
    "http://creativecommons.org/licenses/by/4.0/": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/legalcode": "CC-BY-NC-ND-4.0",
    "http://creativecommons.org/licenses/by-nd-nc/1.0/": "CC-BY-NC-ND-1.0",
    "http://creativecommons.org/licenses/by/3.0/us/": "CC-BY-3.0-US",
    "https://creativecommons.org/licenses/by-nc-sa/3.0/fr/": "LicenseRef-CC-BY-NC-SA-3.0-FR",
    "http://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "CC-PDM-1.0",
    "http://creativecommons.org/licenses/publicdomain/": "CC-PDDC",
    "http://arxiv.org/licenses/nonexclusive-distrib/1.0/": "LicenseRef-arXiv-nonexclusive-distrib-1.0",
    "http://arxiv.org/licenses/assumed-1991-2003/": "LicenseRef-arXiv-assumed-1991-2003",
    "cc_by": "LicenseRef-CC-BY",  # bioRxiv's API
    "cc_by_nc_nd": "LicenseRef-CC-BY-NC-ND",
    "cc0": "CC0-1.0",
    "cc0_ng": "CC0-1.0",  # of the government's employees
    "CC BY": "LicenseRef-CC-BY",  # PMC
    "CC BY-NC": "LicenseRef-CC-BY-NC",
    "CC BY 4.0": "CC-BY-4.0",
    "CC-BY-SA-4.0": "CC-BY-SA-4.0",
    "LicenseRef-arXiv-nonexclusive-distrib-1.0": "LicenseRef-arXiv-nonexclusive-distrib-1.0",
    "licensed under a Creative Commons Attribution 4.0 International License, which permits use.": "CC-BY-4.0",
    "distributed under the Creative Commons Attribution-NonCommercial-NoDerivs License": "LicenseRef-CC-BY-NC-ND",
    "open access under the CC BY license (http://creativecommons.org/licenses/by/4.0/).": "CC-BY-4.0",
    "http://creativecommons.org/licenses/by\u2010nc\u2010nd/4.0/": "CC-BY-NC-ND-4.0",  # as typesetters write it
    "http://creativecommons.org/licenses/by\u200b-nc/4.0/": "CC-BY-NC-4.0",
    "https://creativecommons.org/licenses/by/3.0/us/deed.en": "CC-BY-3.0-US",
    "https://creativecommons.org/licenses/by/4.0/ | cc-by": "CC-BY-4.0",
    "http://creativecommons.org/licenses/by/4.0/ | open-access": "CC-BY-4.0",
}
UNSURE = [
    *(None, "", "open-access", "cc_no", "by", "CC", "CC BY-XX", "CC-BY-4", "all rights reserved"),
    "http://creativecommons.org/licenses/by/4.0/ or http://creativecommons.org/licenses/by-nc/4.0/",
    "http://creativecommons.org/licenses/bysa/4.0/",
    "https://www.springer.com/tdm",
    "This preprint is not made available under a Creative Commons Attribution 4.0 License.",
    "It is not covered by http://creativecommons.org/licenses/by/4.0/",
    *(
        f"http://creativecommons.org/licenses/by{end}"
        for end in ("_nc_nd/4.0", ".nc.nd/4.0", "/nc-nd/4.0", "+nc/4.0", " -nc")
    ),
    "isn't under the Creative Commons Attribution License",
    "Unlike articles under the Creative Commons Attribution License, this is copyrighted by a publisher.",
    "Creative Commons Attribution License (Attribution-NonCommercial-NoDerivs)",
    "Creative Commons Attribution License 4.0 (CC BY-NC-ND)",
    "Creative Commons Attribution License, which permits any non-commercial use",
    "All rights reserved. The CC0 waiver (http://creativecommons.org/publicdomain/zero/1.0/) applies to the data.",
    "http://creativecommons.org/licenses/by/4.0/ | CC BY-NC-ND",
    "http://creativecommons.org/licenses/by/4.0/ | http://www.elsevier.com/open-access/userlicense/1.0/",
]


@pytest.mark.parametrize("said", SAID)
def test_what_sources_write_becomes_an_spdx_id(said: str) -> None:
    """Addresses, codes, ids and sentences."""
    assert read_licence(said).spdx == SAID[said]


@pytest.mark.parametrize("said", UNSURE)
def test_what_is_not_surely_one_licence_is_none(said: str | None) -> None:
    """And then nothing allows to pass the image on."""
    licence = read_licence(said)

    assert licence.spdx is None
    assert not ReleaseSettings().allows(licence)


def test_an_address_that_is_no_licence_is_kept() -> None:
    """Whoever reads the record can look."""
    assert read_licence("https://www.springer.com/tdm") == Licence(None, "https://www.springer.com/tdm")
    assert read_licence("see www.springer.com") == UNKNOWN


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("redistributable", ["CC0-1.0", "CC-BY-4.0", "CC-BY-3.0-US", "LicenseRef-CC-BY", "CC-BY-NC-SA-4.0"]),
        ("all", ["CC0-1.0", "CC-BY-4.0", "CC-BY-NC-ND-4.0", None]),
        ("metadata-only", []),
    ],
)
def test_policies_allow_images(policy: str, allowed: list[str | None]) -> None:
    """By family; no derivatives and arXiv's own licence are left out by default."""
    settings = ReleaseSettings(licence_policy=policy)

    assert all(settings.allows(Licence(spdx)) for spdx in allowed)
    refused = {"CC-BY-NC-ND-4.0", "LicenseRef-arXiv-nonexclusive-distrib-1.0", None} - set(allowed)
    if policy != "all":
        assert not any(settings.allows(Licence(spdx)) for spdx in refused)


def test_a_publisher_may_be_stricter() -> None:
    """A family or an exact id."""
    strict = ReleaseSettings(redistributable=["CC0-1.0", "CC-BY"])

    assert strict.allows(read_licence("CC-BY-4.0"))
    assert not strict.allows(read_licence("CC-BY-SA-4.0"))
    assert not ReleaseSettings(redistributable=["CC-BY-4.0"]).allows(read_licence("CC-BY-3.0"))


@given(st.text(max_size=300))
def test_any_text_is_read(said: str) -> None:
    """Nothing raises, and what is found is an id."""
    licence = read_licence(said)

    assert licence.spdx is None or licence.family is not None


def test_long_text_takes_linear_time() -> None:
    """Megabytes of near misses are cut off."""
    assert read_licence("creative commons attribution " * 200_000) == UNKNOWN
