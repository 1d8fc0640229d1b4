"""The terms of the objective: one file each, pure functions of tensors, float32 inside autocast.

B images, K labels, D embedding width. Every function takes features as the towers give them, normalises them where
its formula says so, and returns a scalar. Adding a term is a file here and an entry in `distill.config.loss_registry`.
"""
