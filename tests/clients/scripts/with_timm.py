"""Classify images with timm: python with_timm.py limbeck/ID[@REVISION] IMAGE...   HF_ENDPOINT names the service."""

import json
import sys

import timm
import torch
from huggingface_hub import hf_hub_download
from PIL import Image
from safetensors.torch import load_file

repository, *paths = sys.argv[1:]
model = timm.create_model(f"hf-hub:{repository}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))

name, _, revision = repository.partition("@")
targets = load_file(hf_hub_download(name, "targets/text_targets.safetensors", revision=revision or None))["features"]
with open(hf_hub_download(name, "targets/labels.json", revision=revision or None), encoding="utf-8") as file:
    labels = [entry["label"] for entry in json.load(file)["labels"]]

images = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
with torch.inference_mode():
    features = torch.nn.functional.normalize(model(images), dim=-1)
scores = (features @ targets.T / 0.07).softmax(dim=-1)
print(json.dumps({"labels": labels, "features": features.tolist(), "scores": scores.tolist()}))
