"""The student: model, features, initialisation from a bundle."""
