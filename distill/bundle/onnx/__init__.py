"""`onnx/` of a bundle: the student and the teacher's text tower for ONNX Runtime (`files` says what it holds)."""
