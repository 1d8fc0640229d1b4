"""Quality gates over a set of entries: figures, thresholds, and the labels and lines that offend.

report      goes through a set and judges it                types        gates, thresholds, offences, results
words       folding, lemmas, what two texts mean            phrasebook   word lists in files, found in text
names       other labels named                              length       tokens as rendered, without torch
sharing     what labels say in common                       twins        labels of nearly the same words
margins     a teacher's text features, before and after     page         the report as a page of HTML

Nothing is brought up here: the API wants the names of gates, and no numpy.
"""
