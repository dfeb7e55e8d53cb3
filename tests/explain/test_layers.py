from __future__ import annotations

from sqsd_lint.explain.model import Share, by_block, by_kind, module_shares

LLAMA = {
    "model.layers.10.self_attn.q_proj": (1.0, 0.5),
    "model.layers.2.self_attn.q_proj": (2.0, 0.0),
    "model.layers.2.mlp.down_proj": (4.0, 1.0),
    "model.project_in": (8.0, 0.0),
}
GPT2 = {
    "transformer.h.0.attn.c_proj": (1.0, 0.0),
    "transformer.h.0.mlp.c_proj": (2.0, 0.0),
    "transformer.h.1.mlp.c_proj": (4.0, 0.0),
}


def test_blocks_are_in_the_order_of_their_numbers_and_the_rest_comes_last() -> None:
    assert by_block(module_shares(LLAMA)) == {2: Share(6.0, 1.0), 10: Share(1.0, 0.5), None: Share(8.0)}


def test_kinds_have_short_names_where_these_are_enough() -> None:
    assert by_kind(module_shares(LLAMA)) == {
        "q_proj": Share(3.0, 0.5),
        "down_proj": Share(4.0, 1.0),
        "project_in": Share(8.0),
    }
    assert by_kind(module_shares(GPT2)) == {"attn.c_proj": Share(1.0), "mlp.c_proj": Share(6.0)}


def test_nothing_scored_is_nothing() -> None:
    assert by_block(module_shares({})) == {}
    assert by_kind(module_shares({})) == {}
