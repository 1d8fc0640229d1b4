"""The licence on a model card: as stated, or as the weights allow."""

import pytest

from distill.bundle.card.license import derive_license

LAION, APPLE, META = "ViT-B-32:laion2b_s34b_b79k", "MobileCLIP-S1:datacompdr", "ViT-B-32-quickgelu:metaclip_400m"


@pytest.mark.parametrize(
    ("stated", "initial", "teacher", "header"),
    [
        ("mit", "cc-by-nc-4.0", LAION, {"license": "mit"}),
        ("acme-1.0", None, LAION, {"license": "other", "license_name": "acme-1.0"}),
        (None, "apache-2.0", LAION, {"license": "apache-2.0"}),
        (None, "cc-by-nc-4.0", LAION, {"license": "cc-by-nc-4.0"}),
        (None, "apache-2.0", META, {"license": "cc-by-nc-4.0"}),
        (None, "dinov3-license", LAION, {"license": "other", "license_name": "dinov3-license"}),
        (None, "dinov3-license", META, {"license": "other", "license_name": "not-chosen"}),
        (None, "unknown", LAION, {"license": "other", "license_name": "not-chosen"}),
        (None, None, "local-dir:/a", {"license": "other", "license_name": "not-chosen"}),
    ],
)
def test_licence_of_a_student(stated: str | None, initial: str | None, teacher: str, header: dict[str, str]) -> None:
    assert derive_license(stated, {"source": "timm/x", "license": initial}, teacher).header() == header


def test_the_card_states_what_is_known() -> None:
    proposed = derive_license(None, {"license": "apache-2.0"}, META).paragraph("timm/x", META).replace("\\", "")
    assert "whoever publishes it decides" in proposed
    assert "(timm/x): licence apache-2.0. Teacher (ViT-B-32-quickgelu:metaclip_400m): licence cc-by-nc-4.0." in proposed
    assert "as stated in the config" in derive_license("mit", {}, LAION).paragraph("random", LAION)
    unknown = derive_license(None, {}, LAION).paragraph("random", LAION)
    assert "No licence was chosen" in unknown
    assert "bundle.license" in unknown
