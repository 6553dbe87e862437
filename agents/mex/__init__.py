"""MEX, maximise to explore: model-free (`mex`) and tabular (`tabular`)."""
