"""Whether a model file may be loaded at all: a static gate, and a trial load in a limited child.

`inspect` and `admit` in `admit.py` are what components call. Both run in a child process, since
a hostile model can hang or eat all memory while it is merely parsed. The process that calls them
imports neither onnx nor onnxruntime nor openvino.
"""
