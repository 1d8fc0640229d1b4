"""Open-set recognition: scores for "none of these", and how well they tell known from unknown images."""
