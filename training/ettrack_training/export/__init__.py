"""From networks to ONNX graphs."""

from .graph import ExportError, Graph, export_graph, verify_graph

__all__ = ["ExportError", "Graph", "export_graph", "verify_graph"]
