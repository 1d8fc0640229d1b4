"""A loaded teacher gives open_clip's embeddings and describes itself; incomplete teachers are refused with a reason."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import open_clip
import pytest
import tokenizers
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from distill.json_types import JSONObject
from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from distill.teacher.tokenizer import BytePairTokenizer
from tests.distill.conftest import CONTEXT, IMAGE_PX, WIDTH, save_clip, save_siglip, tiny_clip_config
from tests.limbeck.shared.images.pictures import record_resizes

TEXTS = ["a photo of crane", "a photo of a crane, which has a long grey neck and a red cap", "", "It's 3 Äpfel!"]


def _open_clip_model(folder: Path) -> tuple[torch.nn.Module, Callable[[Image.Image], torch.Tensor]]:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval(), preprocess


@pytest.mark.parametrize("custom_text", [False, True])
def test_embeddings_equal_open_clip(tmp_path: Path, custom_text: bool) -> None:
    folder = save_clip(tmp_path / "clip", tiny_clip_config(custom_text=custom_text))
    teacher = load_teacher(f"local-dir:{folder}")
    model, _ = _open_clip_model(folder)
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    images = torch.randn(3, 3, IMAGE_PX, IMAGE_PX)
    with torch.no_grad():
        expected_text, expected_image = model.encode_text(tokens, normalize=True), model.encode_image(images)
    torch.testing.assert_close(teacher.encode_text(TEXTS), expected_text, atol=1e-6, rtol=0)
    torch.testing.assert_close(teacher.encode_images(images), expected_image, atol=1e-6, rtol=0)
    assert teacher.encode_text([]).shape == (0, WIDTH)


def test_info_describes_the_teacher(tiny_teacher: Teacher) -> None:
    info = tiny_teacher.info()
    assert json.loads(json.dumps(info)) == info
    assert (info["width"], info["context_length"]) == (WIDTH, CONTEXT)
    assert info["logit_scale"] == pytest.approx(1 / 0.07)
    assert info["preprocess"]["size"] == [IMAGE_PX, IMAGE_PX]


def test_preprocessing_is_the_teachers_open_clip_model(tmp_path: Path) -> None:
    wanted = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "interpolation": "bilinear", "resize_mode": "squash"}
    folder = save_clip(tmp_path / "clip", tiny_clip_config(), preprocess=wanted)
    teacher = load_teacher(f"local-dir:{folder}")
    assert {field: teacher.preprocess[field] for field in wanted} == wanted
    image = Image.linear_gradient("L").resize((90, 40))
    torch.testing.assert_close(teacher.prepare(image), _open_clip_model(folder)[1](image), atol=0, rtol=0)


def test_views_differ_only_for_images_that_are_not_square(tiny_teacher: Teacher) -> None:
    square = Image.linear_gradient("L").rotate(90)
    wide = square.resize((90, 40))
    assert torch.equal(tiny_teacher.prepare(square, "center"), tiny_teacher.prepare(square, "squash"))
    assert not torch.equal(tiny_teacher.prepare(wide, "center"), tiny_teacher.prepare(wide, "squash"))


@pytest.mark.image_input("Decoding", "an extremely long image, such as 1 x 30,000 pixels", "read in a few megabytes")
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(1, 30_000), (30_000, 1)])
def test_extremely_long_images_are_resized_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize_mode: str, size: tuple[int, int]
) -> None:
    folder = save_clip(tmp_path / "clip", tiny_clip_config(), preprocess={"resize_mode": resize_mode})
    teacher = load_teacher(f"local-dir:{folder}")
    resized = record_resizes(monkeypatch)
    image = Image.new("RGB", size, "#ff0000")
    views = ("center", "squash")
    assert all(teacher.prepare(image, view).shape == (3, IMAGE_PX, IMAGE_PX) for view in views)
    assert resized
    assert max(resized) <= 1_000_000


def test_long_images_below_the_limit_are_prepared_as_before(tiny_clip: Path, tiny_teacher: Teacher) -> None:
    own = _open_clip_model(tiny_clip)[1]
    for size in ((64, 1), (3, 190)):
        image = Image.effect_noise(size, 90).convert("RGB")
        assert torch.equal(tiny_teacher.prepare(image), own(image))
    # Above it only the central part is resized; in the centre the result is nearly the same.
    tall = Image.linear_gradient("L").resize((4, 4 * 80)).convert("RGB")
    torch.testing.assert_close(tiny_teacher.prepare(tall), own(tall), atol=0.05, rtol=0)


def test_half_precision_weights_are_converted_to_float32(tmp_path: Path) -> None:
    teacher = load_teacher(f"local-dir:{save_clip(tmp_path / 'half', tiny_clip_config(), dtype=torch.float16)}")
    assert {tensor.dtype for tensor in teacher.text_state().values()} == {torch.float32}
    assert teacher.encode_text(["a crane"]).dtype == torch.float32


@pytest.mark.slow
def test_digest_depends_on_content_not_on_file_format(tmp_path: Path, tiny_clip: Path, tiny_teacher: Teacher) -> None:
    repacked = tmp_path / "repacked"
    repacked.mkdir()
    shutil.copy(tiny_clip / "open_clip_config.json", repacked)
    torch.save(load_file(tiny_clip / "open_clip_model.safetensors"), repacked / "open_clip_pytorch_model.bin")
    assert load_teacher(f"local-dir:{repacked}").digest == tiny_teacher.digest
    half = save_clip(tmp_path / "half", tiny_clip_config(), dtype=torch.float16)
    whole = tmp_path / "whole"
    shutil.copytree(half, whole)
    state = {name: tensor.float() for name, tensor in load_file(half / "open_clip_model.safetensors").items()}
    save_file(state, whole / "open_clip_model.safetensors")
    assert load_teacher(f"local-dir:{half}").digest == load_teacher(f"local-dir:{whole}").digest != tiny_teacher.digest


@pytest.mark.slow
def test_other_weights_config_or_preprocessing_change_a_digest(tmp_path: Path, tiny_teacher: Teacher) -> None:
    other_seed = load_teacher(f"local-dir:{save_clip(tmp_path / 'seed', tiny_clip_config(), seed=1)}")
    quick = {**tiny_clip_config(), "quick_gelu": True}
    other_config = load_teacher(f"local-dir:{save_clip(tmp_path / 'quick', quick)}")
    squash = save_clip(tmp_path / "squash", tiny_clip_config(), preprocess={"resize_mode": "squash"})
    other_preprocess = load_teacher(f"local-dir:{squash}")
    assert len({tiny_teacher.digest, other_seed.digest, other_config.digest}) == 3
    assert other_preprocess.digest == tiny_teacher.digest
    assert other_preprocess.preprocess_digest != tiny_teacher.preprocess_digest


def test_tokens_are_counted_without_truncation_and_too_many_are_refused(tiny_teacher: Teacher) -> None:
    long = "a photo of " + "crane " * 40
    assert tiny_teacher.count_tokens(["a photo of crane", long]) == [6, 45]
    with pytest.raises(ValueError, match="45 tokens"):
        tiny_teacher.encode_text([long])


@pytest.mark.parametrize(
    "settings",
    [{}, {"clean": "canonicalize"}, {"clean": "whitespace"}, {"additional_special_tokens": ["<mask>"]}],
)
def test_saved_tokenizer_gives_the_same_tokens(tmp_path: Path, settings: JSONObject) -> None:
    tokenizer = BytePairTokenizer(77, settings)
    tokenizer.save(tmp_path)
    saved = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = [*TEXTS, "it's the bird's 1234 wing--tip_!!", "  A\tb \n C ", "日本語 ☕ 👩‍👩‍👧", "don't we'LL"]
    assert [saved.encode(text).ids for text in texts] == tokenizer.ids(texts)


def test_siglip_teacher_pads_and_cleans_as_configured(tmp_path: Path) -> None:
    folder = save_siglip(tmp_path / "siglip")
    teacher = load_teacher(f"local-dir:{folder}")
    assert teacher.logit_bias == pytest.approx(-10)
    assert teacher.count_tokens(["A photo, of CRANE!", "a crane"]) == [5, 3]
    ids = torch.ones(2, 16, dtype=torch.long)
    ids[0, :5], ids[1, :3] = torch.tensor([3, 4, 5, 6, 1]), torch.tensor([3, 6, 1])
    with torch.no_grad():
        expected = _open_clip_model(folder)[0].encode_text(ids, normalize=True)
    torch.testing.assert_close(teacher.encode_text(["A photo, of CRANE!", "a crane"]), expected, atol=1e-6, rtol=0)
    teacher.save_tokenizer(tmp_path / "saved")
    assert (tmp_path / "saved/tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").unlink()
    assert _refused(f"local-dir:{folder}").code == "teacher_incomplete"


def _refused(ref: str, root: Path | None = None) -> TeacherError:
    with pytest.raises(TeacherError) as caught:
        load_teacher(ref, root=root)
    return caught.value


def test_unknown_names_and_missing_folders_are_refused(tmp_path: Path) -> None:
    unknown = _refused("ViT-B-32:openia")
    assert unknown.code == "teacher_not_found"
    assert "ViT-B-32:openai" in unknown.message
    missing = _refused("local-dir:nowhere", tmp_path)
    assert missing.code == "teacher_not_found"
    assert "nowhere" in missing.message


def test_local_folder_may_not_leave_the_root(tmp_path: Path, tiny_clip: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(tiny_clip, root / "inside")
    (root / "link").symlink_to(tiny_clip)
    assert load_teacher("local-dir:inside", root=root).width == WIDTH
    for path in (f"../../{tiny_clip.name}", str(tiny_clip), "link"):
        assert "outside the data root" in _refused(f"local-dir:{path}", root).message


def _damaged(tiny_clip: Path, folder: Path, damage: Callable[[Path], object]) -> TeacherError:
    shutil.copytree(tiny_clip, folder)
    damage(folder)
    return _refused(f"local-dir:{folder}")


def _without(prefixes: tuple[str, ...], folder: Path) -> None:
    state = load_file(folder / "open_clip_model.safetensors")
    save_file({k: v for k, v in state.items() if not k.startswith(prefixes)}, folder / "open_clip_model.safetensors")


def _rewrite_config(change: Callable[[dict[str, dict[str, object]]], object], folder: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    change(config["model_cfg"])
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def _fill_with_nan(folder: Path) -> None:
    state = load_file(folder / "open_clip_model.safetensors")
    state["ln_final.bias"].fill_(float("nan"))
    save_file(state, folder / "open_clip_model.safetensors")


TEXT_TENSORS = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "open_clip_config.json").unlink(), "open_clip_config.json"),
        (lambda folder: (folder / "open_clip_config.json").write_text('{"model_'), "damaged"),
        (lambda folder: (folder / "open_clip_config.json").write_text("[]"), "not an object"),
        (lambda folder: (folder / "open_clip_model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "open_clip_model.safetensors").write_bytes(b""), "is empty"),
        (
            lambda folder: (folder / "open_clip_model.safetensors").write_bytes(
                (folder / "open_clip_model.safetensors").read_bytes()[:-1000]
            ),
            "truncated",
        ),
        (partial(_without, TEXT_TENSORS), "text tower"),
        (partial(_without, ("visual.ln_post",)), "visual.ln_post"),
        (partial(_rewrite_config, lambda cfg: cfg.pop("text_cfg")), "no text tower"),
        (partial(_rewrite_config, lambda cfg: cfg.pop("vision_cfg")), "no image tower"),
        (partial(_rewrite_config, lambda cfg: cfg.update(embed_dim=48)), "do not fit"),
        (_fill_with_nan, "ln_final.bias"),
    ],
)
def test_incomplete_teacher_is_refused_with_the_missing_part(
    tmp_path: Path, tiny_clip: Path, damage: Callable[[Path], object], message: str
) -> None:
    error = _damaged(tiny_clip, tmp_path / "damaged", damage)
    assert error.code == "teacher_incomplete"
    assert message in error.message


def test_weights_are_never_unpickled_as_objects(tmp_path: Path, tiny_clip: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    shutil.copy(tiny_clip / "open_clip_config.json", folder)
    torch.save({"state_dict": Path("/an/object/not/a/tensor")}, folder / "open_clip_pytorch_model.bin")
    assert _refused(f"local-dir:{folder}").code == "teacher_incomplete"


def test_unreachable_hub_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for ref in ("hf-hub:nobody/nothing", "ViT-B-32:openai"):
        assert _refused(ref).code == "teacher_unreachable"


class _Hub(SimpleHTTPRequestHandler):
    """The `resolve` route of the Hub for a folder of files; everything else is not found."""

    def send_head(self):  # type: ignore[no-untyped-def]
        name = self.path.rsplit("/", 1)[-1]
        path = Path(self.directory) / name
        if "/somebody/tiny/resolve/main/" not in self.path or not path.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if "/somebody/tiny/" in self.path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_response(200)
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", f'"{name.encode().hex():0<64.64}"')
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        return path.open("rb")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.slow
def test_teacher_from_the_hub(tmp_path: Path, tiny_clip: Path, tiny_teacher: Teacher) -> None:
    """In a separate process, because the Hub client reads its endpoint on import."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, directory=str(tiny_clip)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = (
        "from distill.teacher.teacher import TeacherError, load_teacher\n"
        "print(load_teacher('hf-hub:somebody/tiny').digest)\n"
        "try: load_teacher('hf-hub:nobody/tiny')\n"
        "except TeacherError as error: print(error.code)\n"
    )
    place = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run([sys.executable, "-c", code], env=place, capture_output=True, text=True, check=False)
    server.shutdown()
    server.server_close()
    assert answer.stdout.split() == [tiny_teacher.digest, "teacher_not_found"], answer.stderr[-2000:]
