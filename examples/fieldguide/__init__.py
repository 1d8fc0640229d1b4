"""The field guide: invented creatures, a tiny teacher that knows how they are described, a stand-in LLM."""
