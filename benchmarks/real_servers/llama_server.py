"""llama.cpp's own HTTP server for one GGUF file: `PYTHON llama_server.py FILE.gguf PORT [OPTIONS]`.

PYTHON needs `xllamacpp`, whose wheel contains the server. OPTIONS is a JSON object of fields of its `CommonParams`,
which are llama-server's options, such as `{"n_ctx": 512, "api_keys": ["sk-1"], "chat_template": "…"}`.
"""

import json
import sys
import threading

import xllamacpp

SLOT_TOKENS, SLOTS = 16_384, 2


def main(file: str, port: str, options: str = "{}") -> None:
    """Serve until the process is terminated."""
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.hostnames, params.port = ["127.0.0.1"], int(port)
    params.n_ctx, params.n_parallel = SLOT_TOKENS * SLOTS, SLOTS
    params.cache_ram_mib = 0  # the model is smaller than the cache
    params.endpoint_metrics = True
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads, threads.poll = 1, 0  # threads wait busily for each other: slow for a tiny model
    for name, value in json.loads(options).items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)
    print(f"serving at {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
