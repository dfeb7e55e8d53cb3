"""PEFT adapter folders and whole models as low-rank factors.

registry      what a kind of adapter is, what it cannot be used as, and which kinds there are
kinds/        one file per kind: plain LoRA, DoRA, PiSSA, OLoRA, CorDA, LoRA-GA, whole models
peft_folder   an adapter's files, judged by configuration and headers alone: no weights, no torch
factors       the factors themselves, for scoring and drift
convert       an adapter of any kind as the plain LoRA adapter that a bundle keeps
reach         the share of a direction that an update at an expansion point can reach
"""
