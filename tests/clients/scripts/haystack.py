"""Haystack's rankers."""

import json
import sys

sys.path = [path for path in sys.path if not path.endswith("scripts")]  # this file is not the package of its name

from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker

from haystack import Document

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
key = Secret.from_token("any")
found = {}
for name, ranker in {
    "cohere": CohereRanker(model="mini", api_key=key, api_base_url=url),
    "cohere top_n": CohereRanker(model="mini", api_key=key, api_base_url=url, top_k=2),
    "jina": JinaRanker(model="mini", api_key=key, base_url=f"{url}/v1/rerank"),
    "jina top_n": JinaRanker(model="mini", api_key=key, base_url=f"{url}/v1/rerank", top_k=2),
    "tei": HuggingFaceTEIRanker(url=url),
    "tei top_n": HuggingFaceTEIRanker(url=url, top_k=2),
    "vllm": VLLMRanker(model="mini", api_base_url=f"{url}/v1"),
    "vllm top_n": VLLMRanker(model="mini", api_base_url=f"{url}/v1", top_k=2),
}.items():
    if hasattr(ranker, "warm_up"):
        ranker.warm_up()
    answer = ranker.run(query=query, documents=[Document(content=text) for text in texts])
    found[name] = [[texts.index(document.content), document.score] for document in answer["documents"]]
print(json.dumps(found))
