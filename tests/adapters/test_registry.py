"""Kinds: a new one takes one class; what a kind cannot be used as is refused alike wherever it is read."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters import registry
from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.adapters.registry import AdapterKind, AdapterSource, LoraFactors, Shape, Use, kinds, register
from sqsd_lint.bundle.importer import import_bundle, plain_adapter
from sqsd_lint.bundle.verify import verify
from sqsd_lint.config import Settings
from sqsd_lint.drift.model_drift import adapter_state
from sqsd_lint.drift.run import find_states, measure, measure_adapters
from sqsd_lint.errors import AdapterError
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.types import Message, Sample, Score, Where
from tests import tiny
from tests.bundle.test_convert import configure, trained
from tests.drift.runs import directions_of, save_adapters


@pytest.fixture
def toy() -> Iterator[None]:
    """A kind that stores V = diag(out) W as one thin product: the one class that a new kind is."""
    before = list(registry._registered)

    @register
    class Toy(AdapterKind):
        name = "Toy"

        def owns(self, config: Mapping[str, Any]) -> bool:
            return config.get("peft_type") == "TOY"

        def shapes(self, source: AdapterSource, stored: Mapping[str, tuple[int, ...]]) -> dict[str, Shape]:
            found = {}
            for name, shape in stored.items():
                if name.endswith(".toy_up"):
                    down = stored[name.removesuffix("up") + "down"]
                    found[name.removesuffix(".toy_up")] = (shape[0], shape[1], down[1])
            return found

        def factors(
            self, source: AdapterSource, tensors: Mapping[str, torch.Tensor]
        ) -> dict[str, LoraFactors]:
            return {
                name.removesuffix(".toy_up"): LoraFactors(
                    tensors[name.removesuffix("up") + "down"], up, float(source.config["strength"])
                )
                for name, up in sorted(tensors.items())
                if name.endswith(".toy_up")
            }

    yield
    registry._registered[:] = before


def as_toy(lora: Path, folder: Path) -> Path:
    """The same weights as a LoRA adapter's of alpha 6 and rank 3, in the toy kind's layout."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, tensor in load_file(lora / "adapter_model.safetensors").items():
        module = name.removeprefix("base_model.model.").partition(".lora_")[0]
        tensors[f"{module}.toy_{'down' if 'lora_A' in name else 'up'}"] = tensor
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "TOY", "strength": 2.0}))
    return folder


def scores(bundle: Any, model: Path, cache: Path) -> list[float]:
    settings = Settings(model=str(model), device="cpu", dtype="float32")
    scorer = ModelScorer(bundle, settings, cache_dir=cache, cache_scores=False)
    messages = (Message("user", "What is rain?"), Message("assistant", "Water that falls."))
    ((_, score),) = scorer.score([Sample("0" * 32, messages, (False, True), Where("x", 1, 0))])
    assert isinstance(score, Score)
    return [score.danger, score.safety, score.drift]


@pytest.mark.usefixtures("toy")
def test_a_new_kind_is_imported_scored_and_measured(
    tiny_model_folder: Path, tiny_adapters: dict[str, Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    """One class and nothing else; everything is what the LoRA adapter of the same weights gives."""
    toys = {name: as_toy(folder, tmp_path / name) for name, folder in tiny_adapters.items()}
    made = import_bundle(str(tiny_model_folder), **toys, output=tmp_path / "b")
    assert "danger: Toy: as the LoRA adapter of the same weights" in made.manifest.notes
    assert verify(made.root, model=tiny_model_folder) == []
    bundle, directions = directions_of(tiny_bundle)
    assert scores(made, tiny_model_folder, tmp_path) == scores(bundle, tiny_model_folder, tmp_path)

    sizes = json.loads((tiny_model_folder / "config.json").read_text())["vocab_size"]
    lora = save_adapters(tmp_path / "lora", {5: 1, 9: 2}, sizes)
    run = tmp_path / "run"
    for state in find_states(lora)[1]:
        as_toy(state.folder, run / state.folder.name)
    found, expected = (measure_adapters(directions, find_states(folder)[1]) for folder in (run, lora))
    assert [p.move for p in found.points] == [p.move for p in expected.points]


def test_the_toy_kind_is_gone_without_its_class(tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = as_toy(tiny_adapters["danger"], tmp_path / "toy")
    with pytest.raises(AdapterError, match="peft_type is 'TOY', expected 'LORA'") as caught:
        inspect_adapter(folder)
    named = str(caught.value.hint)
    assert all(kind in named for kind in ("LoRA", "DoRA", "LoRA-GA", "PiSSA"))
    assert "toy" not in named.lower()


@pytest.mark.usefixtures("toy")
def test_kinds_are_asked_before_plain_lora() -> None:
    names = [kind.name for kind in kinds()]
    assert names[-1] == "LoRA"
    assert {"DoRA", "PiSSA", "OLoRA", "CorDA", "LoRA-GA", "a whole model", "Toy"} <= set(names)


USES: tuple[Use, ...] = (
    "a direction",
    "an expansion point",
    "a base adapter",
    "a part of a bundle",
    "a run's state",
)


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({}, ()),
        ({"use_rslora": True}, ()),
        ({"init_lora_weights": "orthogonal", "r": 4}, ()),
        ({"use_dora": True}, USES[2:]),
        ({"init_lora_weights": "pissa"}, USES),
        ({"init_lora_weights": "OLoRA"}, USES),
    ],
    ids=str,
)
def test_every_reader_refuses_the_same(
    tmp_path: Path, options: dict[str, Any], refused: tuple[Use, ...]
) -> None:
    folder, start, _ = trained(tmp_path, **options)
    for use in USES:
        for read in (inspect_adapter, lambda f, use: load_adapter(f, use=use)):
            if use not in refused:
                assert read(folder, use=use)
                continue
            with pytest.raises(AdapterError, match=rf"\w+ \(.+\) cannot be {use}: "):
                read(folder, use=use)
            if "init_lora_weights" in options:
                assert load_adapter(folder, use=use, start=start).factors
        if use in refused and "use_dora" in options:
            with pytest.raises(AdapterError, match=f"cannot be {use}"):
                plain_adapter(folder, tmp_path / "plain", (use,))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kasa_config": {"x": 1}}, "kasa_config is set"),
        ({"layer_replication": [[0, 1]]}, "layer_replication is set"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights is set"),
        ({"rank_pattern": [3]}, "rank_pattern is .3., expected numbers"),
        ({"alpha_pattern": {"q_proj": "6"}}, "alpha_pattern"),
        ({"rank_pattern": {"(": 3}}, "no regular expression"),
        ({"r": True}, "r is True, expected a number"),
    ],
)
def test_configurations_that_scoring_accepted_or_choked_on(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    configure(folder, **changes)
    for read in (inspect_adapter, load_adapter):
        with pytest.raises(AdapterError, match=complaint):
            read(folder)


def test_factors_that_are_not_finite_are_refused_for_any_use(tmp_path: Path) -> None:
    folder = tiny.save_adapter(tmp_path / "adapter")
    tensors = load_file(folder / "adapter_model.safetensors")
    next(iter(tensors.values()))[0, 0] = float("inf")
    save_file(tensors, folder / "adapter_model.safetensors")
    for use in USES:
        with pytest.raises(AdapterError, match="holds NaN or infinity"):
            load_adapter(folder, use=use)


def test_dora_that_began_as_pissa(tmp_path: Path) -> None:
    folder, start, _ = trained(tmp_path, use_dora=True, init_lora_weights="pissa")
    made = plain_adapter(folder, tmp_path / "plain", start=start)
    assert [note.partition(":")[0] for note in made.notes] == ["DoRA", "pissa"]
    parts = (load_file(path / "adapter_model.safetensors") for path in (folder, start))
    (now, first), q = parts, "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    moved = 2 * (now[f"{q}B.weight"] @ now[f"{q}A.weight"] - first[f"{q}B.weight"] @ first[f"{q}A.weight"])
    f = load_adapter(made.folder).factors["model.layers.0.self_attn.q_proj"]
    torch.testing.assert_close(f.scaling * f.B @ f.A, moved, rtol=1e-3, atol=1e-5)
    with pytest.raises(AdapterError, match="known only with its start"):
        plain_adapter(folder, tmp_path / "again")


def test_drift_of_a_pissa_run_is_measured_from_its_start(tmp_path: Path, tiny_bundle: Path) -> None:
    """On disk and in memory, and it is what PEFT's merged weights moved."""
    folder, start, after = trained(tmp_path, init_lora_weights="pissa")
    run = tmp_path / "run"
    run.mkdir()
    folder.rename(run / "checkpoint-7")
    _, directions = directions_of(tiny_bundle)

    def never() -> Any:
        raise AssertionError("adapters need no base model")

    with pytest.raises(AdapterError, match=r"PiSSA .* cannot be a run's state: .* with its start"):
        measure(run, directions, base=never)
    found = measure(run, directions, base=never, start=start)
    before = dict(tiny.make_model().named_parameters())
    moved = torch.cat(
        [(p - before[name]).double().flatten() for name, p in after.named_parameters() if "_proj" in name]
    )
    assert found.points[0].move.total.norm == pytest.approx(float(moved.norm()), rel=1e-3)
    plain = tiny.save_adapter(tmp_path / "plain", sizes={"vocab_size": tiny.VOCAB})
    with pytest.raises(AdapterError, match=r"is LoRA, so .* which is PiSSA, did not start there"):
        measure(run, directions, base=never, start=plain)


@pytest.mark.parametrize(
    ("options", "started", "complaint"),
    [
        ({"use_dora": True}, True, r"q_proj: DoRA \(use_dora is set\) cannot be a run's state"),
        ({"init_lora_weights": "pissa"}, False, "known only with its start"),
        ({"lora_bias": True}, True, "bias is set"),
    ],
)
def test_a_model_in_memory_is_refused_as_its_folder_is(
    options: dict[str, Any], started: bool, complaint: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(tiny.make_model(), LoraConfig(r=2, target_modules=["q_proj"], **options))
    with pytest.raises(AdapterError, match=complaint):
        adapter_state(model, started=started)


def test_a_pissa_model_in_memory_has_a_state_where_its_start_is_known() -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa")
    assert len(adapter_state(get_peft_model(tiny.make_model(), config))) == 2


def test_inspecting_loads_no_torch(tiny_adapters: dict[str, Path]) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom sqsd_lint.adapters.peft_folder import inspect_adapter\n"
        f"print(len(inspect_adapter(Path({str(tiny_adapters['danger'])!r})).shapes))\n"
        "assert not {'torch', 'numpy', 'peft', 'transformers', 'safetensors'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "14"
