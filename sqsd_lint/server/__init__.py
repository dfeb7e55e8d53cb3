"""The scoring service and its client: what goes over the wire, who computes it, who asks for it.

`wire` is the contract of both sides. The service is `engine` (one thread that scores, batching the rows of
several requests), `app` (HTTP), `metrics` and `logs`; the client is `client`, which needs neither FastAPI nor
torch. Neither side knows a model: `run.serve` and `run.remote_scorer` tie them to one.
"""
