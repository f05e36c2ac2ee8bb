"""Any rerankit reranker as a LangChain document compressor and retriever."""

from rerankit_langchain.compressor import RerankitCompressor
from rerankit_langchain.retriever import RerankitRetriever

__all__ = ["RerankitCompressor", "RerankitRetriever"]
