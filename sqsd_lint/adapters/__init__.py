"""PEFT adapter folders and whole models as low-rank factors."""
