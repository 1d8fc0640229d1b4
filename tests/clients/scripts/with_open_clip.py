"""Classify images with open_clip: python with_open_clip.py limbeck/ID-pairing limbeck/ID IMAGE...

HF_ENDPOINT names the service. The texts are those that the student was trained with; the pairing encodes them.
"""

import json
import sys

import open_clip
import torch
from huggingface_hub import hf_hub_download
from PIL import Image

pairing, repository, *paths = sys.argv[1:]
model, _, preprocess = open_clip.create_model_and_transforms(f"hf-hub:{pairing}")
tokenizer = open_clip.get_tokenizer(f"hf-hub:{pairing}")
model.eval()
with open(hf_hub_download(repository, "targets/labels.json"), encoding="utf-8") as file:
    entries = json.load(file)["labels"]

images = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in paths])
with torch.inference_mode():
    features = model.encode_image(images, normalize=True)
    texts = [model.encode_text(tokenizer(entry["prompts"]), normalize=True).mean(dim=0) for entry in entries]
    targets = torch.nn.functional.normalize(torch.stack(texts), dim=-1)
scores = (features @ targets.T / 0.07).softmax(dim=-1)
labels = [entry["label"] for entry in entries]
print(json.dumps({"labels": labels, "features": features.tolist(), "scores": scores.tolist()}))
