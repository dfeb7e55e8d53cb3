#!/bin/sh
# Score a folder of data on all GPUs of a Ray cluster. On the head node, or from a machine that reaches it:
#
#     ray job submit --address http://HEAD:8265 --working-dir . -- sh ray.sh
#
# Every node needs `pip install "sqsd-lint[ray]"` and the same paths. Start it again after a failure: what is
# finished is not scored again. For KubeRay, give this as the entrypoint of a RayJob.
set -eu

DATA=/shared/data
SCORES=/shared/scores
BUNDLE=/shared/bundles/qwen3-8b
MODEL=/shared/models/Qwen3-8B

exec sqsd-lint score "$DATA" --bundle "$BUNDLE" --model "$MODEL" \
    --device cuda --dtype bfloat16 --no-progress \
    --engine ray --ray-address "${RAY_ADDRESS:-auto}" --output-dir "$SCORES"
