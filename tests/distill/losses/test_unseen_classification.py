"""Classification of features synthesised for unseen labels: the number of labels."""

import torch

from distill.losses.unseen_classification import unseen_classification
from tests.distill.losses.references import TAU, TEXTS, UNSEEN, U, features, labels


def test_number_of_nearest_labels_is_cut_to_the_unseen_labels() -> None:
    s = torch.tensor(features(12)[0])
    given = (s, torch.tensor(TEXTS), labels(), torch.tensor(UNSEEN))
    all_labels = unseen_classification(*given, temperature=TAU, num_nearest=U)
    assert unseen_classification(*given, temperature=TAU, num_nearest=50).item() == all_labels.item()
