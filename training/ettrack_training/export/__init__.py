"""Exports networks as ONNX graphs that are arranged for ONNX Runtime on a CPU."""

from .graph import ExportError, Graph, export_graph, verify_graph

__all__ = ["ExportError", "Graph", "export_graph", "verify_graph"]
