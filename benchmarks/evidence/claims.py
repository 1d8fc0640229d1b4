"""What the paper proposes and what we changed, each as a difference between two arms on labels never seen.

The sources are the paper's two principles (arXiv:2307.03135: imitate the teacher's image space and its alignment of
images and texts; enrich the labels' texts) and the defects of its published code that are mended here.
"""

from dataclasses import dataclass

from benchmarks.evidence.arms import AS_PAPER, OTHERS, THREE

PAPERS, OURS, OTHER = "the paper's", "ours", "another method's"


@dataclass(frozen=True)
class PaperClaim:
    """`says`: in words; it holds where arm `better` is above arm `worse` on unseen labels, whatever the seed.

    An arm that is held against itself is measured by retrieval and by its texts alone, on the same images.
    """

    says: str
    better: str
    worse: str
    whose: str = PAPERS


CLAIMS = (
    PaperClaim("Attributes in the texts help, with L-cls alone", "cls", "cls (names)"),
    PaperClaim("Attributes in the texts help, with L-cls, L-mse and L-im-cst", THREE, f"{THREE} (names)"),
    PaperClaim("L-mse helps beside L-cls", "cls+mse", "cls"),
    PaperClaim("L-im-cst helps beside L-cls and L-mse", THREE, "cls+mse"),
    PaperClaim("L-vlalign helps beside the three", f"{THREE}+vlalign", THREE),
    PaperClaim("Imitating the teacher's images helps without any text (L-im-cst against L-cls)", "im_cst", "cls"),
    PaperClaim("A crop and flip for each image are better than one for a batch", THREE, "batch-level", whose=OURS),
    PaperClaim("A teacher that sees the student's crop is better than one that sees the centre", "same view", THREE,
          whose=OURS),
    PaperClaim("Averaged weights are better than the last ones", "averaged", THREE, whose=OURS),
    PaperClaim("Five pictures a label help the student that was distilled (fine-tuned)", "5-shot fine-tuned", THREE),
    PaperClaim("Five pictures a label help by retrieval, without training", "5-shot retrieval", "5-shot retrieval"),
    PaperClaim("Our recipe is better than the paper's terms and view, all else the same", "limbeck", AS_PAPER, whose=OURS),
    PaperClaim("Attributes in the texts help our recipe", "limbeck", "limbeck (names)"),
    PaperClaim("Learned vectors (CoOp) help beside the three", "CoOp", THREE),
    PaperClaim("L-cap helps beside the three", f"{THREE}+cap", THREE),
    *(PaperClaim(f"`{term}` helps beside the three", f"{THREE}+{term}", THREE, whose=OTHER) for term in OTHERS),
)  # fmt: skip
