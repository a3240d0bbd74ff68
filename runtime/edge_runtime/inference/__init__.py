"""Scoring windows in separate, limited processes, so that no model takes the daemon with it.

`open_engine` in `engine.py` gives an `Engine`; `Engine.load` gives a `Worker`; `Worker.infer`
scores one window. This process imports neither onnxruntime nor openvino.
"""
