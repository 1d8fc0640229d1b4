"""Download a student with huggingface_hub: python with_huggingface_hub.py limbeck/ID

HF_ENDPOINT names the service, HF_TOKEN is the key.
"""

import hashlib
import json
import sys
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

(repository,) = sys.argv[1:]
snapshot = Path(snapshot_download(repository))
api = HfApi()
weights = Path(hf_hub_download(repository, "model.safetensors", local_dir=snapshot.parent / "single"))
found = {
    "folder": str(snapshot),
    "files": {
        path.relative_to(snapshot).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(snapshot.rglob("*"))
        if path.is_file()
    },
    "listed": api.list_repo_files(repository),
    "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
    "revision": api.model_info(repository).sha,
    "account": api.whoami()["name"],
}
print(json.dumps(found))
