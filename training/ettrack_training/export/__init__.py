"""From networks to ONNX graphs."""

from .graph import ExportError, Graph, Tolerance, export_graph, verify_graph

__all__ = ["ExportError", "Graph", "Tolerance", "export_graph", "verify_graph"]
