"""Writes a tiny Llama of random weights with a tokenizer: `PYTHON tiny_transformers.py FOLDER`; PYTHON needs
`transformers`. Its tokens are bytes; its chat template is minimal."""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END_BIAS = 0.3
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: "


def main(folder: str) -> None:
    """Write the folder."""
    torch.manual_seed(0)
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *characters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16_384,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        # One channel of the embeddings is constant, and the output weight of the end token reads it: responses end.
        model.get_input_embeddings().weight[:, 0] = 1.0
        model.get_output_embeddings().weight[1, 0] = END_BIAS
    model.generation_config.do_sample = True  # otherwise the server ignores the temperature
    model.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
