"""Which images a step draws: by label, unlabelled ones in turns, and mixtures of two images."""
