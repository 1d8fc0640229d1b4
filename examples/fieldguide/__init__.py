"""The field guide: a synthetic dataset of invented species, a tiny teacher for it, and a stand-in LLM."""
