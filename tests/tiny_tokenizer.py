"""Tiny byte-level tokenizers, trained here on a few sentences, with the common kinds of chat template."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_CORPUS = (
    "How do I bake bread at home? Mix flour, water, salt and yeast, then wait for an hour.",
    "You are a helpful assistant. Answer the question in a few words.",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
    "Below is an instruction that describes a task. Write a response that completes the request.",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n",
    "Paris is the capital of France. Les élèves étudient à l'école.",
)

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# A template that writes a system turn of its own where the row has none.
_CHATML_DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}" + _CHATML
)

_LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim"
    " + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

_GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)

_MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)

# Thoughts of earlier turns are dropped; the turn after the last user message always gets a <think> block.
_QWEN3 = (
    "{% set ns = namespace(last=-1) %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}"
    "{% endfor %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% set content = message['content'] %}{% set thought = '' %}"
    "{% if '</think>' in content %}"
    "{% set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}"
    "{% set content = content.split('</think>')[-1].lstrip('\\n') %}"
    "{% endif %}"
    "{% if loop.index0 > ns.last and (loop.last or thought) %}"
    "{{ '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n'"
    " + content.lstrip('\\n') + '<|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' }}{% endif %}"
    "{% elif message['role'] == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + message['content'] + '\\n</tool_response><|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_CHATML_TOKENS = {"eos": "<|im_end|>", "pad": "<|endoftext|>", "more": ["<|im_start|>"]}

_KINDS: dict[str, dict[str, Any]] = {
    "chatml": {"template": _CHATML, **_CHATML_TOKENS},
    "chatml_default_system": {"template": _CHATML_DEFAULT_SYSTEM, **_CHATML_TOKENS},
    "qwen3": {"template": _QWEN3, **_CHATML_TOKENS},
    "llama3": {
        "template": _LLAMA3,
        "bos": "<|begin_of_text|>",
        "eos": "<|eot_id|>",
        "pad": "<|end_of_text|>",
        "more": ["<|start_header_id|>", "<|end_header_id|>"],
    },
    "gemma": {
        "template": _GEMMA,
        "bos": "<bos>",
        "eos": "<eos>",
        "pad": "<pad>",
        "more": ["<start_of_turn>", "<end_of_turn>"],
    },
    "mistral": {
        "template": _MISTRAL,
        "bos": "<s>",
        "eos": "</s>",
        "pad": "<unk>",
        "more": ["[INST]", "[/INST]"],
    },
    "none": {"template": None, "eos": "<|endoftext|>", "pad": "<|endoftext|>", "more": []},
    "none_bos": {"template": None, "bos": "<s>", "eos": "</s>", "pad": "<unk>", "more": []},
}
KINDS = tuple(_KINDS)
CHAT_KINDS = tuple(kind for kind in KINDS if _KINDS[kind]["template"])

END_OF_TURN = {
    "chatml": "<|im_end|>",
    "chatml_default_system": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "mistral": "</s>",
    "none": "<|endoftext|>",
    "none_bos": "</s>",
}


def make_tokenizer(kind: str = "chatml", *, merges: bool = True) -> Any:
    """A tokenizer of one of KINDS.

    Args:
        merges: False keeps it at one token per byte, so that no token ever straddles prompt and answer.
    """
    options = _KINDS[kind]
    bos, eos, pad = options.get("bos"), options["eos"], options["pad"]
    specials = list(dict.fromkeys(token for token in (bos, eos, pad, *options["more"]) if token))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(specials) + (120 if merges else 0),
        special_tokens=specials,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    if bos:  # as Llama has it: encoding adds BOS, and adds a second one to text that a template made
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    elif kind == "none":  # as GPT-2 has it
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        clean_up_tokenization_spaces=False,
    )
    if options["template"]:
        fast.chat_template = options["template"]
    return fast
