"""Claims of the paper, of Limbeck and of other methods, each tested as a difference between two arms on unseen labels.

Sources: the two principles of the paper (arXiv:2307.03135: imitate the teacher's image space and its alignment of
images and texts; enrich the labels' texts), and the defects of its published code that Limbeck corrects.
"""

from dataclasses import dataclass

from benchmarks.evidence.arms import AS_PAPER, OTHERS, THREE

PAPER, LIMBECK, OTHER = "paper", "Limbeck", "other method"


@dataclass(frozen=True)
class PaperClaim:
    """`text`: the claim. It is confirmed if arm `better` is above arm `worse` on unseen labels for all seeds.

    If both are the same arm, its accuracy with retrieval is compared with its accuracy without, on the same images.
    """

    text: str
    better: str
    worse: str
    source: str = PAPER


CLAIMS = (
    PaperClaim("Attributes in the texts help with L-cls alone", "cls", "cls (names)"),
    PaperClaim("Attributes in the texts help with L-cls, L-mse and L-im-cst", THREE, f"{THREE} (names)"),
    PaperClaim("L-mse helps when added to L-cls", "cls+mse", "cls"),
    PaperClaim("L-im-cst helps when added to L-cls and L-mse", THREE, "cls+mse"),
    PaperClaim("L-vlalign helps when added to the three terms", f"{THREE}+vlalign", THREE),
    PaperClaim(
        "Imitating the teacher's image features helps without any text (L-im-cst instead of L-cls)", "im_cst", "cls"
    ),
    PaperClaim("One crop and flip per image is better than one per batch", THREE, "batch-level", source=LIMBECK),
    PaperClaim(
        "A teacher that sees the student's crop is better than one that sees the centre crop",
        "same view",
        THREE,
        source=LIMBECK,
    ),
    PaperClaim("Averaged weights are better than the last weights", "averaged", THREE, source=LIMBECK),
    PaperClaim("Fine-tuning the distilled student on five images per label helps", "5-shot fine-tuned", THREE),
    PaperClaim("Retrieval from five images per label helps, without training", "5-shot retrieval", "5-shot retrieval"),
    PaperClaim(
        "Our recipe is better than the paper's terms and view, all else equal", "limbeck", AS_PAPER, source=LIMBECK
    ),
    PaperClaim("Attributes in the texts help with our recipe", "limbeck", "limbeck (names)"),
    PaperClaim("Learned vectors (CoOp) help when added to the three terms", "CoOp", THREE),
    PaperClaim("L-cap helps when added to the three terms", f"{THREE}+cap", THREE),
    *(
        PaperClaim(f"`{term}` helps when added to the three terms", f"{THREE}+{term}", THREE, source=OTHER)
        for term in OTHERS
    ),
)
