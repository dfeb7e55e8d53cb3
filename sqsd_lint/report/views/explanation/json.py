"""An explanation as one JSON object; `rules/schemas/explain.schema.json` describes it."""

from __future__ import annotations

from typing import IO, Any

from sqsd_lint.explain.model import Explanation, Nearest, Neighbour, Remedy, Share, Span, Spans
from sqsd_lint.report import Options, fields
from sqsd_lint.report.views.explanation.sentences import part_text

VERSION = 1


def write(explanation: Explanation, stream: IO[str], options: Options, top: int) -> None:
    """Writes the object, indented; without the answer's words where they are redacted."""
    stream.write(fields.dump(explanation_fields(explanation, options), indent=2) + "\n")


def explanation_fields(value: Explanation, options: Options) -> dict[str, Any]:
    """All that is known of the row."""

    def spans(parts: tuple[Span, ...]) -> list[dict[str, Any]]:
        return [{**span_fields(p), "text": None if options.redact else part_text(value, p)} for p in parts]

    score = value.row.score
    return {
        "version": VERSION,
        "row": {
            **fields.row(value.row),
            "index": value.row.where.index,
            "z": fields.number(value.row.z),
            "response_lost": score.response_lost,
            "loss": fields.number(score.loss),
            "exact": score.exact,
        },
        "head": fields.head(value.head),
        "modules": [
            {"name": m.name, "block": m.block, "kind": m.kind, **share_fields(m.share)} for m in value.modules
        ],
        **remainder_fields(value.tokens),
        "sentences": spans(value.sentences.parts),
        "words": spans(value.words.parts),
        "tokens": spans(value.tokens.parts),
        "nearest": _nearest(value.nearest) if value.nearest else None,
        "remedy": _remedy(value.remedy, spans) if value.remedy else None,
    }


def share_fields(share: Share) -> dict[str, Any]:
    """A share of the projections; danger less safety is sqsd, and harm is weighted, where there is any."""
    return {
        "danger": fields.number(share.danger),
        "safety": fields.number(share.safety),
        "sqsd": fields.number(share.sqsd),
        **({"harm": fields.number(share.harm)} if share.harm else {}),
    }


def span_fields(span: Span) -> dict[str, Any]:
    """A span by 0-based message and characters (code points), its end not in it."""
    return {
        "message": span.message,
        "start": span.start,
        "end": span.end,
        "tokens": span.tokens,
        **share_fields(span.share),
    }


def remainder_fields(spans: Spans) -> dict[str, Any]:
    """What belongs to no span of the answers."""
    return {"prompt": share_fields(spans.prompt), "other": share_fields(spans.other)}


def _nearest(value: Nearest) -> dict[str, Any]:
    return {
        "error": value.error,
        "danger": [_neighbour(each) for each in value.danger],
        "safety": [_neighbour(each) for each in value.safety],
    }


def _neighbour(value: Neighbour) -> dict[str, Any]:
    return {
        "set": value.set,
        "row": value.row,
        "fingerprint": value.fingerprint,
        "cosine": fields.number(value.cosine),
    }


def _remedy(value: Remedy, spans: Any) -> dict[str, Any]:
    return {
        "line": fields.threshold(value.threshold),
        "parts": spans(value.parts),
        "estimate": fields.number(value.estimate),
        "masked": fields.number(value.masked),
        "masked_percentile": fields.number(value.masked_percentile),
        "removed": fields.number(value.removed),
        "removed_percentile": fields.number(value.removed_percentile),
        "enough": value.enough,
    }
