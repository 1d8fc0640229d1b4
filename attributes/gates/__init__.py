"""Quality gates over an attribute set: figures, thresholds, and the labels and lines that violate them.

evaluate           all gates over a set: two passes            types              gates, thresholds, violations, reports
criteria           thresholds, word lists, margins, ...        set_counts         first pass: counts over all labels
violations         second pass: violations by label            gate_results       tally of violations, gate results
statements         sentences without appearance                words/             word lists, lemmas, languages of lines
label_names        names of other labels in a text             token_lengths      token counts of rendered lines
shared_attributes  lines and attributes shared by labels       near_duplicates    labels with nearly the same words
margins            text margins of a teacher                   second_opinion     an LLM reviews non-visual lines
repair_prompts     correction of a response with violations    reports/           a report as an HTML page

Nothing is imported here: the API needs the gate names without numpy.
"""
