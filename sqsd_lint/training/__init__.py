"""Making bundles: recipes, data selection, training, and the embedded default model."""
