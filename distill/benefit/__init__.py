"""Measures whether attributes help: zero-shot accuracy of the teacher with different texts, and with control texts.

    python -m distill.benefit --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR \\
        --concept bird --out proof/

Most of the published gain of attribute sets comes from averaging over many texts (arXiv:2306.07282). A gain therefore
counts only relative to a control with the same number of texts that carry no information (WaffleCLIP). No student is
trained. Accuracy is measured on held-out images of seen labels (`id`) and on images of unseen labels (`ood`).

    arms            the texts of each arm                      waffle    control texts without information
    metrics         accuracies, gains, the verdict             charts    the table and the chart
    phrase_filter   drops phrases that the training images contradict
"""
