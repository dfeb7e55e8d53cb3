"""One file per kind of adapter; `registry.kinds` finds every module in this folder."""
