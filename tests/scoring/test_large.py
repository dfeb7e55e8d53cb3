"""The ways to make a large model fit: each ranks rows as float32 on one device does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from sqsd_lint.adapters.factors import Adapter, LoraFactors, load_adapter
from sqsd_lint.errors import AdapterError, ModelError
from sqsd_lint.experiments.updates import LoraRuns
from sqsd_lint.scoring import Direction, Scorer, linear
from sqsd_lint.scoring.model import attach, load_model
from tests import tiny
from tests.scoring.cases import random_rows

SIZES: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3}
ROWS = random_rows(60, seed=5)
CPU = torch.device("cpu")
Score = Callable[..., torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in several shards."""
    path = tmp_path_factory.mktemp("large")
    tiny.make_model("llama", **SIZES).save_pretrained(path, max_shard_size="300KB")
    return path


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> Score:
    """SQSD of ROWS with a model."""
    root = tmp_path_factory.mktemp("adapters")
    danger, safety, initial = (
        load_adapter(tiny.save_adapter(root / str(seed), seed=seed, sizes=SIZES)) for seed in (1, 2, 3)
    )
    directions = [Direction("danger", danger, initial), Direction("safety", safety, safety, 1.0)]

    def run(model: Any, **options: Any) -> torch.Tensor:
        values = Scorer(model, directions, **options).project(ROWS).values
        return values[:, 0] - values[:, 1]

    return run


@pytest.fixture(scope="module")
def reference(score: Score) -> torch.Tensor:
    return score(tiny.make_model("llama", **SIZES))


def agreement(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(spearmanr(one.numpy(), other.numpy()).statistic)


def test_shards_are_put_together(folder: Path, score: Score, reference: torch.Tensor) -> None:
    assert len(list(folder.glob("*.safetensors"))) > 2
    model = load_model(folder, device=CPU, dtype=torch.float32)
    torch.testing.assert_close(score(model), reference, rtol=1e-4, atol=1e-5)


def test_bfloat16(folder: Path, score: Score, reference: torch.Tensor) -> None:
    found = score(load_model(folder, device=CPU, dtype=torch.bfloat16))
    assert agreement(found, reference) >= 0.98


def test_checkpointing_changes_no_number(folder: Path, score: Score, reference: torch.Tensor) -> None:
    model = load_model(folder, device=CPU, dtype=torch.float32)
    torch.testing.assert_close(score(model, checkpointing="on"), reference, rtol=1e-4, atol=1e-5)
    assert "forward" not in model.base_model.layers[0].__dict__


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_offloaded_weights_are_fetched_for_each_product(
    where: str, folder: Path, score: Score, reference: torch.Tensor, tmp_path: Path
) -> None:
    import accelerate

    model = load_model(folder, device=CPU, dtype=torch.float32)
    if where == "memory":
        accelerate.cpu_offload(model, execution_device=CPU)
    else:
        accelerate.disk_offload(model, str(tmp_path), execution_device=CPU)
    assert model.base_model.layers[0].mlp.up_proj.weight.device.type == "meta"
    torch.testing.assert_close(score(model), reference, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(score(model), reference, rtol=1e-4, atol=1e-5)  # the hooks are still there


def test_a_device_map_on_a_machine_without_accelerators(
    folder: Path, score: Score, reference: torch.Tensor
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device: see the test of several")
    model = load_model(folder, device=CPU, dtype=torch.float32, device_map="auto")
    torch.testing.assert_close(score(model), reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("bits", "least"), [("8bit", 0.98), ("4bit", 0.98)])
def test_packed_weights(bits: str, least: float, folder: Path, score: Score, reference: torch.Tensor) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    model = load_model(folder, device=CPU, dtype=torch.float32, quantize=bits)
    assert linear.is_packed(model.base_model.layers[0].mlp.up_proj)
    assert not linear.is_packed(model.get_output_embeddings())
    found = score(model)
    assert not torch.equal(found, reference)
    # Random weights suffer from 4 bits more than trained ones; what counts is that no gradient is lost.
    dense = load_model(folder, device=CPU, dtype=torch.float32)
    packed = dict(model.named_modules())
    with torch.no_grad():
        for name, module in dense.named_modules():
            if linear.is_packed(packed[name]):
                module.weight.copy_(linear.unpacked(packed[name], torch.float32))
    torch.testing.assert_close(found, score(dense), rtol=1e-3, atol=1e-4)
    if bits == "8bit":
        assert agreement(found, reference) >= 0.98


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """A base adapter as large as the weights: whoever leaves it out somewhere scores another model."""
    return load_adapter(tiny.save_adapter(tmp_path_factory.mktemp("base"), seed=7, sizes=SIZES))


@pytest.fixture(scope="module")
def merged(base: Adapter, folder: Path, score: Score, reference: torch.Tensor) -> torch.Tensor:
    """Scores with the base adapter merged into float32 weights."""
    found = score(load_model(folder, device=CPU, dtype=torch.float32, base_adapter=base))
    assert agreement(found, reference) < 0.9
    return found


@pytest.fixture
def put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has accelerate keep every weight of the middle block on disk, as where memory is short."""
    from transformers import AutoModelForCausalLM

    load = AutoModelForCausalLM.from_pretrained
    where = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    where |= {f"model.layers.{i}": "disk" if i == 1 else "cpu" for i in range(3)}

    def spread(*args: Any, device_map: Any, **options: Any) -> Any:
        return load(*args, device_map=where, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spread)


def test_a_base_adapter_over_weights_that_are_put_away(
    put_away: None, folder: Path, base: Adapter, score: Score, merged: torch.Tensor
) -> None:
    model = load_model(folder, device=CPU, dtype=torch.float32, device_map="auto", base_adapter=base)
    first, second = (layer.mlp.up_proj for layer in model.base_model.layers[:2])
    assert (first.weight.device.type, second.weight.device.type) == ("cpu", "meta")
    assert (len(first._forward_hooks), len(second._forward_hooks)) == (0, 1)
    torch.testing.assert_close(score(model), merged, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(score(model, checkpointing="on"), merged, rtol=1e-3, atol=1e-4)


def test_a_base_adapter_over_packed_weights(
    folder: Path, base: Adapter, score: Score, merged: torch.Tensor
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    model = load_model(folder, device=CPU, dtype=torch.float32, quantize="8bit", base_adapter=base)
    assert agreement(score(model), merged) >= 0.98


@pytest.mark.skipif(torch.cuda.is_available(), reason="products differ between devices")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_base_adapter_is_rounded_once(dtype: torch.dtype, base: Adapter, tmp_path: Path) -> None:
    """Merged into spread weights at hand it leaves the very weights that the usual path has."""
    tiny.make_model("llama", dtype=torch.bfloat16, **SIZES).save_pretrained(tmp_path)
    usual, spread = (
        load_model(tmp_path, device=CPU, dtype=dtype, base_adapter=base, device_map=where).state_dict()
        for where in (None, "auto")
    )
    assert all(torch.equal(spread[name], weight) for name, weight in usual.items())


def test_a_layer_that_no_expansion_point_touches_runs_with_the_base_adapter(
    folder: Path, base: Adapter
) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    ids = torch.tensor([ROWS[0].ids])
    plain, packed, other = (
        load_model(folder, device=CPU, dtype=torch.float32, quantize=bits, base_adapter=adapter)
        for bits, adapter in ((None, base), ("8bit", base), ("8bit", None))
    )
    with torch.no_grad():
        exact, close, far = (model(ids).logits for model in (plain, packed, other))
    assert (close - exact).norm() < 0.1 * (far - exact).norm()


def test_what_is_trained_on_top_stands_on_the_base_adapter(folder: Path, base: Adapter) -> None:
    """`validate` gives layers a forward of its own."""
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    losses = []
    for bits, adapter in ((None, base), ("8bit", base), ("8bit", None)):
        model = load_model(folder, device=CPU, dtype=torch.float32, quantize=bits, base_adapter=adapter)
        runs = LoraRuns(model.requires_grad_(False), [0], tokens=1000)
        with runs.adapted(), torch.no_grad():
            losses.append(runs.losses(ROWS[:6]))
    exact, close, far = losses
    assert (close - exact).norm() < 0.1 * (far - exact).norm()


def test_a_base_adapter_of_another_model(folder: Path, tmp_path: Path) -> None:
    foreign = load_adapter(tiny.save_adapter(tmp_path, arch="gpt2"))
    with pytest.raises(AdapterError, match="no linear layer"):
        load_model(folder, device=CPU, dtype=torch.float32, base_adapter=foreign)


def test_a_head_that_is_put_away_cannot_have_a_base_adapter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import accelerate

    model = load_model(folder, device=CPU, dtype=torch.float32)
    accelerate.disk_offload(model, str(tmp_path), execution_device=CPU)
    d_out, d_in = 307, SIZES["hidden_size"]
    factors = LoraFactors(torch.ones(1, d_in), torch.ones(d_out, 1), 1.0)
    with pytest.raises(ModelError, match="output head 'lm_head'"):
        attach(model, Adapter({"lm_head": factors}), torch.float32)


def test_without_bitsandbytes_the_remedy_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="bitsandbytes is not installed") as caught:
        load_model(folder, device=CPU, dtype=torch.float32, quantize="4bit")
    assert "sqsd-lint[quantized]" in (caught.value.hint or "")


def test_a_row_that_does_not_fit_is_checkpointed(
    folder: Path, score: Score, reference: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Scorer.run
    sizes: list[int] = []

    def scarce(self: Scorer, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(ids))
        if not self._checkpointing and ids.shape[1] > 40:
            raise torch.OutOfMemoryError("no more")
        return run(self, ids, *rest)

    monkeypatch.setattr(Scorer, "run", scarce)
    model = load_model(folder, device=CPU, dtype=torch.float32)
    found = score(model, batch_tokens=128)
    assert sizes[0] > 1  # batches were halved down to a row before that
    torch.testing.assert_close(found, reference, rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="does not fit"):
        score(model, batch_tokens=128, checkpointing="off")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_model_over_two_devices(folder: Path, score: Score, reference: torch.Tensor) -> None:
    model = load_model(folder, device=torch.device("cuda"), dtype=torch.float32, device_map="auto")
    assert agreement(score(model), reference) >= 0.98


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_packed_weights_on_cuda(bits: str, folder: Path, score: Score, reference: torch.Tensor) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra `quantized` is not installed")
    model = load_model(folder, device=torch.device("cuda"), dtype=torch.bfloat16, quantize=bits)
    assert agreement(score(model), reference) >= 0.98
