"""Batches of a run, read ahead of the step that wants them; a batch's number says which images and views are in it.

In each pass every usable image is drawn once, in an order of the pass's own; what does not fill a last batch waits
for another pass. B images of a batch, N images, M usable ones, K labels, D embedding width, S pixels of a side.
"""
