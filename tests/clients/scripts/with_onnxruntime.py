"""Classify images with ONNX Runtime, NumPy and Pillow: python with_onnxruntime.py limbeck/ID IMAGE...

HF_ENDPOINT names the service, HF_TOKEN is the key.
"""

import json
import os
import sys
from urllib.request import Request, urlopen

import numpy as np
import onnxruntime
from PIL import Image

repository, *paths = sys.argv[1:]


def fetch(path: str) -> bytes:
    url = f"{os.environ['HF_ENDPOINT']}/{repository}/resolve/main/{path}"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {os.environ['HF_TOKEN']}"})) as response:
        content: bytes = response.read()
        return content


session = onnxruntime.InferenceSession(fetch("onnx/image-uint8.onnx"), providers=["CPUExecutionProvider"])
labels = json.loads(fetch("onnx/config.json"))["labels"]
scores, features = [], []
for path in paths:
    pixels = np.asarray(Image.open(path).convert("RGB"))[None]  # (1, H, W, 3) uint8
    found = session.run(["scores", "embedding"], {"image": pixels})
    scores.append(found[0][0].tolist())
    features.append(found[1][0].tolist())
print(json.dumps({"labels": labels, "features": features, "scores": scores}))
