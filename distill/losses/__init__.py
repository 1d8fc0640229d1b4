"""The loss terms of the objective, one per file: pure functions of tensors, computed in float32 also under autocast.

B images, K labels, D embedding width. Every function takes unnormalised features of the towers, normalises them if its
formula says so, and returns a scalar. To add a loss term, add a file here and an entry in
`distill.config.loss_registry`.
"""
