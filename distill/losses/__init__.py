"""The terms of the objective (arXiv:2307.03135): one file each, pure functions of tensors, float32 inside autocast.

B images, K labels, D embedding width. Every function takes features as the towers give them, normalises them where
its formula says so, and returns a scalar. Adding a term is a file here, a weight in `distill.config.LossWeights` and
an entry in `distill.train.loss_terms`.
"""

from distill.losses.feature_mse import feature_mse, feature_mse_unnormalised
from distill.losses.image_contrastive import image_contrastive
from distill.losses.text_classification import text_classification

__all__ = ["feature_mse", "feature_mse_unnormalised", "image_contrastive", "text_classification"]
