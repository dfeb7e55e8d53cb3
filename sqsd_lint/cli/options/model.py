"""What scores the rows: model and bundle."""

from __future__ import annotations

from typing import Annotated

from sqsd_lint.cli.options.option_helpers import MODEL, SPEED, flag, text

Bundle = Annotated[
    str | None,
    text(
        "--bundle",
        metavar="BUNDLE",
        panel=MODEL,
        help="Direction bundle: a folder, a cached id or hf://org/name@revision. Default: the embedded one.",
    ),
]
Bundles = Annotated[
    list[str] | None,
    text(
        "--bundle",
        metavar="BUNDLE",
        panel=MODEL,
        help="Direction bundle: a folder, a cached id or hf://org/name@revision. Default: the embedded one. "
        "Several times: each gives its opinion.",
    ),
]
Model = Annotated[
    str | None,
    text(
        "--model",
        metavar="MODEL",
        panel=MODEL,
        help="The model that you will fine-tune: a folder or a Hub id. Its bundle is used.",
    ),
]
Proxy = Annotated[
    bool | None,
    flag("--proxy", panel=MODEL, help="Use the bundle although it was made for another base model."),
]
Metric = Annotated[
    str | None,
    text("--metric", metavar="cosine|projection|dot", panel=MODEL, help="Default: the bundle's."),
]
Expansion = Annotated[
    str | None,
    text("--expansion", metavar="paper|shared", panel=MODEL, help="Default: the bundle's."),
]
Device = Annotated[
    str | None,
    text("--device", metavar="auto|cpu|cuda|mps", panel=MODEL, help="Where the model runs."),
]
Dtype = Annotated[
    str | None,
    text(
        "--dtype",
        metavar="auto|float32|bfloat16",
        panel=MODEL,
        help="Number format of the model; auto takes the faster one.",
    ),
]
Quantize = Annotated[
    str | None,
    text(
        "--quantize",
        metavar="4bit|8bit",
        panel=MODEL,
        help="Keep the model's weights in so many bits, to make it fit. Needs bitsandbytes.",
    ),
]
DeviceMap = Annotated[
    str | None,
    text(
        "--device-map",
        metavar="auto",
        panel=MODEL,
        help="Spread the model over all GPUs, main memory and disk, to make it fit.",
    ),
]
Checkpointing = Annotated[
    str | None,
    text(
        "--checkpointing",
        metavar="auto|on|off",
        panel=SPEED,
        help="Compute activations twice to save memory; auto: where a row does not fit otherwise.",
    ),
]
TrustRemoteCode = Annotated[
    bool | None,
    flag(
        "--trust-remote-code",
        panel=MODEL,
        help="Run Python code that comes with the model. Only the command line can allow it.",
    ),
]
