"""MEX, maximise to explore: model-free (`mex`), model-based (`model_based`) and tabular (`tabular`).

See docs/methods/mex.md.
"""
