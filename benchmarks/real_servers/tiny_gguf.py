"""Writes a tiny Llama of random weights for llama.cpp: `PYTHON tiny_gguf.py FILE.gguf`; PYTHON needs `gguf`.

The vocabulary consists of bytes and printable characters, so that the model can generate any text that a grammar
allows. One channel of the embeddings is constant, and some output weights read it: that of the closing quote, so that
strings end; those of letters, because a text without a letter is no line; and those of the bytes above ASCII, which
become improbable: random ones are no valid UTF-8, and llama.cpp then responds with an error in place of the text. Some
characters above ASCII are tokens of their own.
"""

import string
import sys

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, HIDDEN, CONTEXT = 64, 2, 2, 128, 16_384
CONTROL, BYTE, NORMAL, UNKNOWN = 3, 6, 1, 2


def main(path: str) -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    printable = [*(c for c in string.printable if c.isprintable() and c != " "), *"éüñß鶴🐦"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *printable]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (1 + len(printable))]

    def random_weights(*shape: int, scale: float = 0.05) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny random llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    embeddings = random_weights(len(tokens), WIDTH, scale=0.5)
    embeddings[:, 0] = 2.0
    output = random_weights(len(tokens), WIDTH, scale=0.3)
    output[:, 0] = 0.0
    output[tokens.index('"'), 0] = 1.2
    output[[number for number, token in enumerate(tokens) if len(token) == 1 and token.isalpha()], 0] = 0.7
    output[tokens.index("<0x80>") : tokens.index("<0xFF>") + 1, 0] = -6.0
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", random_weights(WIDTH, WIDTH))
        for name, shape in (("ffn_gate", (HIDDEN, WIDTH)), ("ffn_up", (HIDDEN, WIDTH)), ("ffn_down", (WIDTH, HIDDEN))):
            writer.add_tensor(f"blk.{layer}.{name}.weight", random_weights(*shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1])
