"""Records small CLIP and SigLIP models of transformers with their features, for tests without that library.

    python -m tests.distill.teacher.record_transformers      # needs `pip install transformers`

Each folder of `transformers_models/` is what `save_pretrained` of model, image processor and tokenizer writes, with
random weights in half precision, and `expected.safetensors`: `images` (2, 3, S, S), the features of images and texts
that transformers gives for them, and the token ids; `texts.json` holds the texts.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

MODELS = Path(__file__).with_name("transformers_models")
TEXTS = ["a crane", "a photo of a CRANE with a red cap", "", "it's   a cap."]
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = ["<pad>", "</s>", "<unk>", "a", "photo", "of", "crane", "with", "red", "cap"]
IMAGE_PX = 16
# Widths of the towers' MLPs: one that a ratio in floating point rounds to, and one that it does not.
TEXT = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40, "max_position_embeddings": 48}
IMAGE = {"num_hidden_layers": 2, "num_attention_heads": 3, "image_size": IMAGE_PX, "patch_size": 4}


def record() -> None:
    """Write all folders."""
    shutil.rmtree(MODELS, ignore_errors=True)
    for end, activation, name in ((2, "quick_gelu", "clip_of_openai"), (513, "gelu", "clip_with_end_token")):
        _record_clip(MODELS / name, end, activation)
    _record_siglip(MODELS / "siglip")


def _record_clip(folder: Path, end: int, activation: str) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    text = {**TEXT, "vocab_size": 515, "hidden_size": 16, "hidden_act": activation}
    text |= {"bos_token_id": 512, "eos_token_id": end, "pad_token_id": 513}
    vision = {**IMAGE, "hidden_size": 24, "intermediate_size": 61, "hidden_act": activation}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    folder.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), START, END, "cr"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc r\n")
    processor = CLIPImageProcessor(size={"shortest_edge": IMAGE_PX}, crop_size=IMAGE_PX)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    _save(folder, model, processor, dict(tokenizer(TEXTS, padding=True, return_tensors="pt")))
    if end != 2:  # the other folder keeps the two files of older versions
        for name in ("vocab.json", "merges.txt"):
            (folder / name).unlink()
        tokenizer.save_pretrained(folder)


def _record_siglip(folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {**TEXT, "vocab_size": len(WORDS), "hidden_size": 16, "projection_size": 24}
    vision = {**IMAGE, "hidden_size": 24, "intermediate_size": 61}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="</s>", eos_token="</s>", unk_token="<unk>")
    canonical = ["a crane", "a photo of a crane with a red cap", "", "its a cap"]
    ids = tokenizer(canonical, padding="max_length", max_length=48, return_tensors="pt").input_ids
    _save(folder, model, SiglipImageProcessor(size={"height": IMAGE_PX, "width": IMAGE_PX}), {"input_ids": ids})
    tokenizer.save_pretrained(folder)


def _save(folder: Path, model: Any, processor: Any, tokens: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data = (parameter.data + 0.1 * torch.randn_like(parameter)).half().float()
    images = torch.randn(2, 3, IMAGE_PX, IMAGE_PX)
    with torch.no_grad():
        model.eval()
        features = {"images": model.get_image_features(images), "texts": model.get_text_features(**tokens)}
    expected = {f"features_of_{name}": one.pooler_output.contiguous() for name, one in features.items()}
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    save_file({"images": images, "ids": tokens["input_ids"], **expected}, folder / "expected.safetensors")
    (folder / "texts.json").write_text(json.dumps(TEXTS))


if __name__ == "__main__":
    record()
