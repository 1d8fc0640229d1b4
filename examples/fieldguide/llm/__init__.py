"""Parts of the stand-in LLM, behind `examples.fieldguide.llm_server`."""
