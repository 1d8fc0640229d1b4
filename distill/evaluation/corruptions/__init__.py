"""The 15 corruptions of ImageNet-C at 5 strengths, made on the fly, and the errors under them."""
