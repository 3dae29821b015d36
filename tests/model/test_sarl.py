"""SARL against the released network's outputs (tests/golden), and the laws of its architecture."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sadcl import params
from sadcl.model.dual_contrast import Projector
from sadcl.model.heads.attention import Attention
from sadcl.model.heads.sarl import SARL, sine_encoding
from sadcl.weights.released_names import rename
from tests.paths import GOLDEN_FOLDER

torch.set_num_threads(1)
SETTINGS = params.Model(
    backbone="none", side=32, mean=(0, 0, 0), std=(1, 1, 1), width=64, heads=4, feedforward=128, embedding=1024
)
CASES = ["case_7x5", "case_6x6"]


def golden(name: str) -> tuple[SARL, dict[str, Tensor]]:
    reference = load_file(GOLDEN_FOLDER / f"{name}_small.safetensors")
    sarl = SARL(48, 11, SETTINGS).eval()
    renamed, _ = rename(reference)
    sarl.load_state_dict({k.removeprefix("network.head."): v for k, v in renamed.items() if ".head." in k})
    return sarl, reference


@pytest.mark.parametrize("name", ["sarl", "q2l"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "suffix", "atol"), [(torch.float32, "", 2e-5), (torch.float64, "_f64", 1e-10)])
def test_outputs_are_the_released_ones(name: str, case: str, dtype: torch.dtype, suffix: str, atol: float) -> None:
    sarl, reference = golden(name)
    sarl, feature = sarl.to(dtype), reference[f"{case}/feature"].to(dtype)
    with torch.no_grad():
        memory, _ = sarl.encode(feature)
        out = sarl(feature)
    expected = reference[f"{case}/encoder_memory{suffix}"].flatten(2).transpose(1, 2)
    torch.testing.assert_close(memory, expected, atol=atol, rtol=0)
    torch.testing.assert_close(out.features, reference[f"{case}/hs_last{suffix}"], atol=atol, rtol=0)
    torch.testing.assert_close(out.logits, reference[f"{case}/logits{suffix}"], atol=atol, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_the_projector_is_the_released_one(case: str) -> None:
    reference = load_file(GOLDEN_FOLDER / "sarl_small.safetensors")
    projector = Projector(64, 1024).double()
    renamed, _ = rename(reference)
    projector.load_state_dict(
        {k.removeprefix("projector."): v for k, v in renamed.items() if k.startswith("projector.")}
    )
    given = {"vis": f"{case}/hs_last_f64", "prototype": "prototype", "memorybank": "memorybank"}
    for name, source in given.items():
        with torch.no_grad():
            embedded = projector(reference[source].double())
        torch.testing.assert_close(embedded, reference[f"{case}/{name}_embed_f64"], atol=1e-10, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_positions_are_the_released_ones(case: str) -> None:
    reference = load_file(GOLDEN_FOLDER / "sarl_small.safetensors")
    pe = reference[f"{case}/backbone.1.pe"][0]
    torch.testing.assert_close(sine_encoding(pe.shape[1], pe.shape[2], 64), pe, atol=1e-6, rtol=0)
    wide = sine_encoding(14, 14, 2048)[reference["pe/hidden2048_14x14_channel_index"]]
    torch.testing.assert_close(wide, reference["pe/hidden2048_14x14_channels"][0], atol=1e-6, rtol=0)


def test_attention_says_where_each_label_looked() -> None:
    sarl, reference = golden("sarl")
    out = sarl(reference["case_7x5/feature"], attention=True)
    assert out.attention.shape == (2, 11, 7, 5)
    torch.testing.assert_close(out.attention.sum((2, 3)), torch.ones(2, 11))
    torch.testing.assert_close(out.logits, sarl(reference["case_7x5/feature"]).logits)


def test_permuting_images_permutes_outputs() -> None:
    sarl, reference = golden("sarl")
    feature = reference["case_6x6/feature"]
    torch.testing.assert_close(sarl(feature.flip(0)).logits, sarl(feature).logits.flip(0))


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (9, 2)])
def test_any_size_of_map_will_do(size: tuple[int, int]) -> None:
    sarl, _ = golden("sarl")
    assert sarl(torch.randn(1, 48, *size), attention=True).attention.shape == (1, 11, *size)


def test_permuting_classes_permutes_logits() -> None:
    """Labels never attend to one another."""
    sarl, reference = golden("sarl")
    feature, order = reference["case_6x6/feature"], torch.randperm(11, generator=torch.Generator().manual_seed(0))
    before = sarl(feature).logits
    for name in ("queries", "weight", "bias"):
        getattr(sarl, name).data = getattr(sarl, name).data[order]
    torch.testing.assert_close(sarl(feature).logits, before[:, order])


def test_attention_is_the_softmax_that_the_decoder_used() -> None:
    """One head, no feed-forward influence: values mixed by the map are what the attention layer returns."""
    torch.manual_seed(0)
    layer = Attention(16, 1, 0.0)
    torch.nn.init.xavier_uniform_(layer.in_proj_weight)
    q, k, v = torch.randn(2, 3, 16), torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    out, weights = layer(q, k, v, need_weights=True)
    values = torch.nn.functional.linear(v, layer.in_proj_weight[32:], layer.in_proj_bias[32:])
    torch.testing.assert_close(layer.out_proj(weights @ values), out)


def test_it_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    sarl = SARL(256, 80, SETTINGS.model_copy(update={"width": 256}))
    layer = sarl.decoder[0]
    bound = (6 / (256 + 3 * 256)) ** 0.5
    assert bound * 0.99 < layer.attention.in_proj_weight.abs().max() <= bound
    assert not layer.attention.in_proj_bias.any()
    assert not layer.attention.out_proj.bias.any()
    assert abs(sarl.queries.std().item() - 1) < 0.02
    for parameter in (sarl.weight, sarl.bias):
        assert 0.9 / 16 < parameter.abs().max() <= 1 / 16


def test_it_works_without_an_encoder() -> None:
    bare = SARL(64, 3, SETTINGS.model_copy(update={"encoder_layers": 0}))
    assert bare(torch.randn(2, 64, 2, 3)).logits.shape == (2, 3)
    assert not any(name.startswith("input_proj") for name, _ in bare.named_parameters())


@pytest.mark.parametrize("tokens", [1, 20])
def test_queries_that_photos_share_give_what_a_copy_for_each_photo_gives(tokens: int) -> None:
    """With 20 tokens the products are taken from the side of the queries, with 1 they are not."""
    torch.manual_seed(5)
    attention = Attention(16, 2, 0.1).double().eval()
    torch.nn.init.normal_(attention.in_proj_weight)
    torch.nn.init.normal_(attention.in_proj_bias)
    queries, keys, values = torch.randn(1, 3, 16), torch.randn(4, tokens, 16), torch.randn(4, tokens, 16)
    results = []
    for q in (queries, queries.expand(4, -1, -1)):
        inputs = [x.double().requires_grad_() for x in (q, keys, values)]
        out, weights = attention(*inputs, True)
        names, parameters = zip(*attention.named_parameters(), strict=True)
        wanted = torch.autograd.grad((out.sin().sum() + weights.square().sum()), [*inputs, *parameters])
        wanted = [wanted[0].sum(0, keepdim=True), *wanted[1:]]
        results.append(dict(zip(("out", "weights", "q", "k", "v", *names), (out, weights, *wanted), strict=True)))
    for name, value in results[1].items():
        torch.testing.assert_close(results[0][name], value, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")
