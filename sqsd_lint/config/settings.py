"""The one table of settings: what can be set, the built-in defaults, and which commands take what.

To add a setting, add a field here and run `make generated`, which writes the JSON Schema of configuration
files and `docs/settings.md` anew. The order of the fields is that of `--help` and of `config show`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqsd_lint.config.table import PREFIX, Negation, Table, setting
from sqsd_lint.types import ConsensusRule, Expansion, LongAnswers, Metric, Parts, Turns

# The groups of `--help`, in its order.
CHANGES = "Changes"
RULES = "Rules"
FIXING = "Fixing"
MODEL = "Model and bundle"
ROWS = "Rows"
OUTPUT = "Output"
SPEED = "Speed and cache"
CONFIG = "Configuration"
# No setting: a secret is neither in a file nor shown by `config show`.
TOKEN_VARIABLE = f"{PREFIX}SCORER_TOKEN"

PANELS = (CHANGES, RULES, FIXING, MODEL, ROWS, OUTPUT, SPEED, CONFIG)

# Commands that take much the same settings.
_CHECK = ("check",)
_JUDGE = ("check", "baseline")  # the commands that compare scores with thresholds, row by row
_ROWS = ("check", "score", "baseline")  # the commands that go through files
_SCORE = ("check", "score", "explain", "baseline", "validate")
_LOAD = (*_SCORE, "doctor", "bundle calibrate", "serve")  # the commands that have to fit a model into memory
_REMOTE = ("check", "score", "explain", "baseline", "doctor")  # the commands that a service may score for
_CACHE = (
    *(*_SCORE, "lock", "drift", "doctor", "clean", "cache export", "cache merge", "serve"),
    *(f"bundle {name}" for name in ("list", "show", "verify", "remove", "import", "build")),
    *(f"bundle {name}" for name in ("calibrate", "sketch", "pull", "push", "prune")),
)

FailOn = Literal["error", "warning"]
Scope = Literal["rows", "files"]
Dtype = Literal["auto", "float32", "bfloat16"]
Quantize = Literal["4bit", "8bit"]
Checkpointing = Literal["auto", "on", "off"]
ContextSeparator = Literal["blank-line", "line-break"]

_HOSTILE = "a pull request could change it"
_UNSCORED_STAY = "Rows that have no score still fail the run: see `allow`."
_THRESHOLD_SCHEMA = {
    "type": ["string", "number"],
    "pattern": r"^([+-]?[0-9]{1,17}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?"
    r"|[ph](?!0+(\.0+)?$)0{0,15}[0-9]{1,2}(\.[0-9]{1,12})?|z[+-]?[0-9]{1,17}(\.[0-9]{1,12})?)$",
}
_THRESHOLD_EXAMPLES = ("7.5", "p99.9", "z3", "h5")
# The parts of a row that `columns` may name; an empty name says that the rows have no such part.
_NAME, _NAME_OR_NONE = {"type": "string", "minLength": 1}, {"type": "string"}
_PARTS_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("messages", "prompt", "response", "text"), _NAME),
        **dict.fromkeys(("context", "system", "history", "label"), _NAME_OR_NONE),
    },
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run.

    None stands for "not set": the bundle's own metric and expansion, the pack's thresholds, a model in the
    run's dtype on one device, a batch size found from free memory, the user's cache folder, the baseline and
    suppressions of the default names where such files are (an empty name stands for none). Paths are relative
    to the working directory.

    `lock` and `opinions` are no settings, but follow from where and how others were set. `lock` is the file
    beside the configuration, else in the working directory, whether there is one or not, and None if none is
    to be read. Where `bundle` names several, `opinions` holds all of them, and `bundle` the first.
    """

    paths: tuple[str, ...] = setting(
        (".",),
        "Files and folders; - reads standard input. Default: the configured ones, else this folder.",
        ROWS,
        commands=_JUDGE,
        metavar="PATH",
        description="Files and folders to check when the command line names none, relative to this file.",
        examples=(["data"],),
        paths="always",
    )

    staged: bool = setting(
        False,
        "Only rows that are staged and not in HEAD, as they are staged.",
        CHANGES,
        commands=_CHECK,
        only_command_line="it is about one run",
    )
    changed_since: str | None = setting(
        None,
        "Only rows that are new since the last common commit with REF; OLD...NEW judges the commit NEW. "
        "Default: auto, the base of the pull request in CI; none judges every row.",
        CHANGES,
        commands=_CHECK,
        metavar="REF",
        description="Judge only the rows that are new since the last common commit with this one; OLD...NEW "
        "judges the commit NEW. none: every row. auto, which the command line takes where nothing is set: "
        "since the base of the pull or merge request that a CI run is about, and every row elsewhere.",
        examples=("auto", "none", "origin/main"),
    )
    scope: Scope = setting(
        "rows",
        "Of a changed file, new rows or all of them.",
        CHANGES,
        commands=_CHECK,
        description="Of a changed file, judge the new rows or all of them.",
    )

    sample: int | None = setting(
        None,
        "Judge N of the rows only, the same ones each time: a first look at a large folder.",
        CHANGES,
        commands=_CHECK,
        metavar="N",
        only_command_line="it is about one run",
        minimum=1,
    )

    threshold: str | None = setting(
        None,
        "Error line: a raw score 7.5, a benign percentile p99.9 or z-score z3, a harmful percentile h5.",
        RULES,
        commands=(*_JUDGE, "explain"),
        metavar="LINE",
        description="The error line of SQSD101: a raw score, p and a percentile or z and a z-score of the "
        "benign calibration set, or h and a percentile of its known-harmful set. Without it, the pack's.",
        schema=_THRESHOLD_SCHEMA,
        examples=_THRESHOLD_EXAMPLES,
    )
    warning_threshold: str | None = setting(
        None,
        "Warning line, written likewise.",
        RULES,
        commands=(*_JUDGE, "explain"),
        metavar="LINE",
        description="The warning line of SQSD102, written as `threshold` is. Without it, the pack's.",
        schema=_THRESHOLD_SCHEMA,
        examples=_THRESHOLD_EXAMPLES,
    )
    select: tuple[str, ...] = setting(
        (),
        "Only these rules, by code or prefix: --select SQSD1,SQSD303. May be repeated.",
        RULES,
        commands=_CHECK,
        metavar="CODE,...",
        description="Rules to report, by code or prefix. Empty: every rule of the pack.",
        suggest="rules",
        splits=True,
        examples=(["SQSD1", "SQSD301"],),
    )
    ignore: tuple[str, ...] = setting(
        (),
        "Not these rules.",
        RULES,
        commands=_CHECK,
        metavar="CODE,...",
        description=f"Rules to leave out, by code or prefix; the longer prefix wins over `select`. "
        f"{_UNSCORED_STAY}",
        suggest="rules",
        splits=True,
        examples=(["SQSD302"],),
    )
    per_file_ignores: Mapping[str, Sequence[str]] = setting(
        {},
        "Not these rules in these files. May be repeated.",
        RULES,
        commands=_JUDGE,
        metavar="GLOB=CODE,...",
        description="Rules to leave out for some files: patterns as in .gitignore, relative to the working "
        f"folder, each with codes or prefixes. {_UNSCORED_STAY}",
        example="--per-file-ignores 'legacy/*.jsonl=SQSD102,SQSD302'",
        examples=({"data/legacy/*.jsonl": ["SQSD102"]},),
    )
    severity: Mapping[str, str] = setting(
        {},
        "Severities that differ from the pack's, by rule.",
        RULES,
        description=f"Severities that differ from the pack's, by rule. {_UNSCORED_STAY}",
        keys="rules",
        choices=("error", "warning"),
        examples=({"SQSD102": "error", "SQSD302": "error"},),
    )
    allow: tuple[str, ...] = setting(
        (),
        "Pass rows without a score for these reasons: {words}. Otherwise exit 3.",
        RULES,
        commands=_ROWS,
        metavar="CODE,...",
        description="Rules whose unscored rows are accepted: they are warnings and do not make the run "
        "exit 3.",
        choices="unscored-rules",
        splits=True,
        examples=(["SQSD301"],),
    )
    fail_on: FailOn = setting(
        "error",
        "What exits with 1. Default: error.",
        RULES,
        commands=_CHECK,
        description="The lowest severity that fails the run with exit code 1.",
    )
    rules: str = setting(
        "default",
        "Rule pack: default, strict or a JSON file.",
        RULES,
        commands=(*_JUDGE, "explain", "doctor"),
        metavar="PACK",
        description="The rule pack: the name of an embedded one, or a JSON file relative to this file.",
        suggest="packs",
        paths="maybe",
        examples=("default", "strict", "my-pack.json"),
    )
    baseline: str | None = setting(
        None,
        "Findings that are known. Default: .sqsd-lint-baseline.json, if it is there.",
        RULES,
        commands=_JUDGE,
        metavar="FILE",
        description="The baseline of accepted findings, relative to this file. Without it, "
        ".sqsd-lint-baseline.json if there is one.",
        paths="always",
        negation=Negation("Report known findings, too.", value="", commands=_CHECK),
        examples=(".sqsd-lint-baseline.json",),
    )
    suppressions: str | None = setting(
        None,
        "Findings accepted with a reason. Default: .sqsd-lint-suppressions.toml if it is there.",
        RULES,
        commands=_JUDGE,
        metavar="FILE",
        description="The file of suppressed rows with reasons, relative to this file. Without it, "
        ".sqsd-lint-suppressions.toml if there is one.",
        paths="always",
        examples=(".sqsd-lint-suppressions.toml",),
    )
    inline_suppressions: bool = setting(
        True,
        "Rows may suppress findings about themselves.",
        RULES,
        commands=_JUDGE,
        description="Heed the `sqsd_lint` field of rows. A gate that judges rows by strangers sets it to "
        "false.",
        negation=Negation("Rows may not suppress findings about themselves."),
    )
    policy_ref: str | None = setting(
        None,
        "Take configuration, rules, baseline and suppressions from this commit, not from the work tree.",
        RULES,
        commands=_CHECK,
        metavar="REF",
        only_command_line=_HOSTILE,
    )
    learning_rate: float = setting(
        1e-4,
        "Of the fine-tune, for SQSD201.",
        RULES,
        commands=_JUDGE,
        metavar="FLOAT",
        description="The learning rate of the fine-tune, for the drift budget of SQSD201.",
        minimum=1e-12,
        maximum=1000,
    )
    epochs: float = setting(
        3,
        "Of the fine-tune, for SQSD201.",
        RULES,
        commands=_JUDGE,
        metavar="N",
        description="How often the fine-tune sees each row, for the drift budget of SQSD201.",
        minimum=0.001,
        maximum=1_000_000,
    )
    batch_size: int = setting(
        8,
        "Of the fine-tune, for SQSD201.",
        RULES,
        commands=_JUDGE,
        metavar="ROWS",
        description="Rows per optimizer step of the fine-tune, on all devices together, for the drift budget "
        "of SQSD201.",
        minimum=1,
        maximum=1_000_000_000,
    )

    bundle: str | None = setting(
        None,
        "Direction bundle: a folder, a cached id or hf://org/name@revision. Default: the embedded one.",
        MODEL,
        commands=(*_SCORE, "drift", "doctor", "serve"),
        metavar="BUNDLE",
        description="The direction bundle: a folder, a cached id, or hf://org/name@revision. Several, as a "
        "list, judge together: see `consensus`.",
        schema={
            "type": ["string", "array"],
            "minLength": 1,
            "minItems": 1,
            "items": {"type": "string", "minLength": 1},
        },
        suggest="bundles",
        repeats=_ROWS,
        repeats_help="Several times: each gives its opinion.",
        paths="maybe",
        examples=("hf://org/name@revision", ["first-bundle/", "second-bundle/"]),
    )
    opinions: tuple[str, ...] = ()
    consensus: ConsensusRule = setting(
        "majority",
        "How many of several bundles must find a row risky. Default: majority. Fewer: a warning.",
        MODEL,
        commands=_JUDGE,
        description="How many of several bundles must find a row risky: one (any), more than half (majority) "
        "or every one (all). A row that fewer find risky is a warning.",
    )
    bundles: Mapping[str, str] = setting(
        {},
        "Which bundle judges data for which base model.",
        MODEL,
        description="Which bundle judges data for which base model, where `bundle` names none: a folder, a "
        "cached id, hf://org/name@revision, or the URL of a store such as s3://bucket/path.",
        paths="maybe",
        examples=({"Qwen/Qwen3-8B": "hf://org/name@v1"},),
    )
    lock: str | None = field(default=None, compare=False)
    model: str | None = setting(
        None,
        "The model that you will fine-tune: a folder or a Hub id. Its bundle is used.",
        MODEL,
        commands=(*_LOAD, "drift", "bundle show", "bundle sketch"),
        metavar="MODEL",
        description="The model that will be fine-tuned: a folder or a Hub id. Its bundle is the one in "
        "`bundles`, else a cached one.",
        paths="maybe",
        examples=("Qwen/Qwen3-8B",),
    )
    proxy: bool = setting(
        False,
        "Use the bundle although it was made for another base model.",
        MODEL,
        commands=(*_SCORE, "drift", "doctor", "serve"),
        description="Accept a bundle that was made for another base model than the one named.",
    )
    scorer: str | None = setting(
        None,
        "URL of a scoring service; rows are sent there and scored by its bundle. Nothing is scored here.",
        MODEL,
        commands=_REMOTE,
        metavar="URL",
        description="The URL of a scoring service (`sqsd-lint serve`): rows that the local cache does not "
        "know are sent there, and scored by its bundle. https, or http to this machine. Its token is read "
        "from the environment variable SQSD_LINT_SCORER_TOKEN.",
        schema={"type": "string", "pattern": "^(https?://[^/?#@\\s]+(/[^?#@\\s]*)?)?$"},
        negation=Negation("Score here, although the configuration names a service.", value=""),
        examples=("https://scorer.example.org",),
    )
    scores: str | None = setting(
        None,
        "Folder that `score --output-dir` has filled: judge by the scores in it. No model is loaded.",
        MODEL,
        commands=_JUDGE,
        metavar="DIR",
        only_command_line=_HOSTILE,
    )
    scorer_timeout: int = setting(
        600,
        "Seconds that the service may take for one request. Default: 600.",
        MODEL,
        commands=("check", "score", "baseline"),
        metavar="SECONDS",
        description="How long the scoring service may take for one request of at most 64 rows, queue and new "
        "attempts included, in seconds.",
        minimum=1,
        maximum=86_400,
    )
    metric: Metric | None = setting(
        None,
        "Default: the bundle's.",
        MODEL,
        commands=(*_SCORE, "serve"),
        description="How an update is compared with a direction. Without it, as the bundle says.",
    )
    expansion: Expansion | None = setting(
        None,
        "Default: the bundle's.",
        MODEL,
        commands=(*_SCORE, "doctor", "serve"),
        description="Where the safety update is taken: at the safety adapter (paper) or at the initial "
        "state, as danger is (shared). Without it, as the bundle says.",
    )
    device: str = setting(
        "auto",
        "Where the model runs.",
        MODEL,
        commands=(*_LOAD, "bundle build", "bundle sketch"),
        metavar="auto|cpu|cuda|mps",
        description="Where to run the model.",
        schema={"type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]+)?|mps)$"},
        suggest=("auto", "cpu", "cuda", "mps"),
        examples=("auto", "cpu", "cuda", "cuda:0", "mps"),
    )
    dtype: Dtype = setting(
        "auto",
        "Number format of the model; auto takes the faster one.",
        MODEL,
        commands=(*_LOAD, "bundle sketch"),
        description="The number format of the forward and backward pass.",
    )
    quantize: Quantize | None = setting(
        None,
        "Keep the model's weights in so many bits, to make it fit. Needs bitsandbytes.",
        MODEL,
        commands=_LOAD,
        description="Keep the base model's linear layers in 4 or 8 bits (bitsandbytes), for models that do "
        "not fit otherwise. Scores differ from those of the model itself. Without it, the weights are kept "
        "in the dtype.",
    )
    device_map: Literal["auto"] | None = setting(
        None,
        "Spread the model over all GPUs, main memory and disk, to make it fit.",
        MODEL,
        commands=_LOAD,
        description="Spread the model over all GPUs, main memory and disk (accelerate), for models that do "
        "not fit on one device. Without it, the model is on the device as a whole.",
    )
    trust_remote_code: bool = setting(
        False,
        "Run Python code that comes with the model. Only the command line can allow it.",
        MODEL,
        commands=("check", "score", "explain", "baseline", "doctor", "serve"),
        only_command_line=_HOSTILE,
    )

    turns: Turns = setting(
        "all",
        "Which assistant turns count.",
        ROWS,
        commands=(*_SCORE, "serve"),
        description="Which assistant turns of a conversation count.",
    )
    max_length: int = setting(
        1024,
        "Cut rows to so many tokens. Default: 1024.",
        ROWS,
        commands=(*_SCORE, "doctor", "serve"),
        metavar="TOKENS",
        description="The longest sequence in tokens. Of a longer row the middle of the prompt is cut first; "
        "`long_answers` says what is done where that is not enough.",
        minimum=16,
    )
    long_answers: LongAnswers = setting(
        "windows",
        "Of answers longer than --max-length: judge the worst of overlapping windows, or cut them.",
        ROWS,
        commands=(*_ROWS, "explain", "serve"),
        description="What is done with a row whose answers do not fit into `max_length`: windows scores "
        "overlapping windows and judges the worst; cut scores the beginning alone, so that the row does not "
        "count as scored (SQSD302).",
    )
    parts: Parts | None = setting(
        None,
        "Judge rows by their worst turn or passage, too: those of some risk, all, or none. Default: auto.",
        ROWS,
        commands=(*_ROWS, "explain"),
        description="Which rows are also scored part by part, turn by turn and in windows of 64 answer "
        "tokens, and judged by the worst part where that is higher, so that harm is not averaged away over "
        "benign text: auto are the rows whose risk as a whole is high enough for that to matter, all are "
        "all, off none. A row of one turn of 64 answer tokens at most has no parts. Needs a bundle that was "
        "calibrated by the length of answers. Without it, auto for check, baseline and explain, and off for "
        "score.",
    )
    columns: Mapping[str, str | Mapping[str, str]] = setting(
        {},
        "Where a row keeps its parts: --columns prompt=question --columns response=reply.",
        ROWS,
        commands=(*_SCORE, "bundle calibrate", "bundle sketch"),
        metavar="KEY=COLUMN",
        description="Which column of the data plays which part, in rows that have these columns. A table "
        "under a pattern, as in .gitignore, holds for the files that fit it. An empty context, system, "
        "history or label: the rows have none.",
        schema={**_PARTS_SCHEMA, "patternProperties": {"[./*]": _PARTS_SCHEMA}},
        example="--columns prompt=question --columns response=reply",
        examples=({"prompt": "query", "response": "reply"}, {"legacy/*.csv": {"text": "body"}}),
    )
    roles: Mapping[str, str] = setting(
        {},
        "Whose turn a message is, by the role names of the data.",
        ROWS,
        description="Whose turn a message is, by the role names of the data, beside those that are known.",
        choices=("system", "developer", "user", "assistant", "tool"),
        examples=({"patient": "user", "doctor": "assistant"},),
    )
    context_separator: ContextSeparator = setting(
        "blank-line",
        "What joins an instruction and its context.",
        ROWS,
        description="What joins an instruction and its context. The authors of the paper use a line break.",
    )
    exclude: tuple[str, ...] = setting(
        (),
        "Leave these files out. May be repeated.",
        ROWS,
        commands=_ROWS,
        metavar="GLOB",
        description="Patterns, as in .gitignore, of files to leave out.",
        examples=(["archive/", "*.tmp.jsonl"],),
    )
    force_exclude: bool = setting(
        False,
        "Leave them out even where they are named as PATH.",
        ROWS,
        commands=_ROWS,
        description="Apply `exclude` to files that the command line names, too.",
    )
    stdin_format: str = setting(
        "jsonl",
        "Format of standard input, such as jsonl or csv.",
        ROWS,
        commands=("check", "score", "explain"),
        metavar="FORMAT",
        description="Format of standard input (path -): a suffix without its dot, such as jsonl, csv or "
        "json.",
        examples=("csv",),
    )

    output_format: str = setting(
        "text",
        "The format of the report.",
        OUTPUT,
        option="--output-format FORMAT[:FILE]",
        description="The format of the report, where the command line names none.",
        choices="formats",
    )
    redact: bool = setting(
        False,
        "Show no text of rows, but their fingerprints.",
        OUTPUT,
        commands=("check", "explain"),
        description="Leave the text of rows out of every report.",
    )

    checkpointing: Checkpointing = setting(
        "auto",
        "Compute activations twice to save memory; auto: where a row does not fit otherwise.",
        SPEED,
        commands=_LOAD,
        description="Compute activations twice to keep fewer of them: always (on), where a row does not "
        "fit otherwise (auto), or never (off).",
    )
    screen: str = setting(
        "off",
        "Score only the rows that a cheap estimate cannot tell to be far below the lines; auto: so that 98 % "
        "of rows above them are scored.",
        SPEED,
        commands=("check", "score"),
        metavar="auto|off|RECALL",
        description="Pass by rows whose risk, estimated from their words, lies below the warning line by a "
        "margin. RECALL is the share of rows above the line, of the kinds of the bundle's reference rows, "
        "that must be scored all the same: 0.95; auto is 0.98, off scores every row. Rows that were passed "
        "by are counted as screened, with the bound on their risk.",
        examples=("auto", "0.95"),
        schema={
            "type": ["string", "number"],
            "pattern": r"^(auto|off|0\.[5-9][0-9]{0,3})$",
            "minimum": 0.5,
            "maximum": 0.9999,
        },
    )
    batch_tokens: int | None = setting(
        None,
        "Per batch. Default: what memory holds.",
        SPEED,
        commands=(*_ROWS, "doctor", "bundle calibrate", "bundle sketch", "serve"),
        metavar="TOKENS",
        description="Tokens per batch, padding included. Without it, found from free memory.",
        minimum=1,
    )
    workers: str = setting(
        "auto",
        "Processes that score, a device each: auto, one for each CUDA device, or how many. Default: auto.",
        SPEED,
        commands=("check", "score"),
        metavar="auto|N",
        description="How many processes score, each with a model of its own on a device of its own. auto: one"
        " for each CUDA device, and no other process without several of them.",
        schema={"type": ["string", "integer"], "pattern": "^(auto|[1-9][0-9]{0,3})$", "minimum": 1},
        suggest=("auto",),
        examples=("auto", "4"),
    )
    cache: bool = setting(
        True,
        "Remember scores between runs.",
        SPEED,
        commands=(*_ROWS, "validate", "serve"),
        negation=Negation("Neither read nor write the score cache."),
    )
    cache_dir: str | None = setting(
        None,
        "Cache of scores, models and bundles. Default: SQSD_LINT_CACHE_DIR, else the user's cache.",
        SPEED,
        commands=_CACHE,
        metavar="DIR",
        description="The cache folder, relative to this file. Without it, the user's cache folder.",
        paths="always",
        examples=(".sqsd-lint-cache",),
    )


TABLE = Table(Settings)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings and where each one came from.

    Attributes:
        origins: per field of Settings: "command line", "environment SQSD_LINT_X", the path of a
            configuration file, or "default".
        files: the configuration file in force and those that it extends, the strongest first.
    """

    settings: Settings
    origins: Mapping[str, str]
    files: tuple[str, ...] = ()
