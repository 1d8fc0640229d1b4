"""Whether attributes help: a teacher told of labels in several ways, among them ways that cannot be right.

    python -m distill.benefit --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR \\
        --concept bird --out proof/

Most of what published attribute sets gain is the gain of averaging over many texts (arXiv:2306.07282), so that a gain
counts only beside a control of as many texts that say nothing. No student is trained here: it is the teacher's own
zero-shot accuracy that is measured, on held-out images of labels that are seen and on labels never seen.

    arms      the ways of telling       waffle    texts that say nothing      measure   accuracies, gains, the verdict
    filtering phrases that the training images speak against                 draw      the picture and the table
"""
