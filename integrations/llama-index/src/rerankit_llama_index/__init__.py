"""Any rerankit reranker as a LlamaIndex node postprocessor."""

from rerankit_llama_index.postprocessor import RerankitPostprocessor

__all__ = ["RerankitPostprocessor"]
