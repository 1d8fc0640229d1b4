"""What the paper proposes and what we changed, each as a difference between two arms on labels never seen.

The sources are the paper's two principles (arXiv:2307.03135: imitate the teacher's image space and its alignment of
images and texts; enrich the labels' texts) and the defects of its published code that are mended here.
"""

from dataclasses import dataclass

from benchmarks.evidence.arms import AS_PAPER, OTHERS, THREE

PAPERS, OURS, OTHER = "the paper's", "ours", "another method's"


@dataclass(frozen=True)
class Claim:
    """`says`: in words; it holds where arm `better` is above arm `worse` on unseen labels, whatever the seed.

    An arm that is held against itself is measured by retrieval and by its texts alone, on the same images.
    """

    says: str
    better: str
    worse: str
    whose: str = PAPERS


CLAIMS = (
    Claim("Attributes in the texts help, with L-cls alone", "cls", "cls (names)"),
    Claim("Attributes in the texts help, with L-cls, L-mse and L-im-cst", THREE, f"{THREE} (names)"),
    Claim("L-mse helps beside L-cls", "cls+mse", "cls"),
    Claim("L-im-cst helps beside L-cls and L-mse", THREE, "cls+mse"),
    Claim("L-vlalign helps beside the three", f"{THREE}+vlalign", THREE),
    Claim("Imitating the teacher's images helps without any text (L-im-cst against L-cls)", "im_cst", "cls"),
    Claim("A crop and flip for each image are better than one for a batch", THREE, "batch-level", whose=OURS),
    Claim("A teacher that sees the student's crop is better than one that sees the centre", "same view", THREE,
          whose=OURS),
    Claim("Averaged weights are better than the last ones", "averaged", THREE, whose=OURS),
    Claim("Five pictures a label help the student that was distilled (fine-tuned)", "5-shot fine-tuned", THREE),
    Claim("Five pictures a label help by retrieval, without training", "5-shot retrieval", "5-shot retrieval"),
    Claim("Our recipe is better than the paper's terms and view, all else the same", "limbeck", AS_PAPER, whose=OURS),
    Claim("Attributes in the texts help our recipe", "limbeck", "limbeck (names)"),
    Claim("Learned vectors (CoOp) help beside the three", "CoOp", THREE),
    Claim("L-cap helps beside the three", f"{THREE}+cap", THREE),
    *(Claim(f"`{term}` helps beside the three", f"{THREE}+{term}", THREE, whose=OTHER) for term in OTHERS),
)  # fmt: skip
