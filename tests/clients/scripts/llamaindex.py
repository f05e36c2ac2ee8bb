"""LlamaIndex's node postprocessors."""

import json
import sys

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference
from llama_index.postprocessor.xinference_rerank import XinferenceRerank

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = {}


def pairs(postprocessor):
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(n)), score=0.0) for n, text in enumerate(texts)]
    return [
        [int(node.node.id_), node.score]
        for node in postprocessor.postprocess_nodes(nodes, query_bundle=QueryBundle(query))
    ]


found["tei top_n"] = pairs(TextEmbeddingInference(base_url=url, top_n=2))
found["cohere top_n"] = pairs(CohereRerank(model="mini", api_key="any", base_url=url, top_n=2))
found["jina top_n"] = pairs(JinaRerank(model="mini", api_key="any", base_url=f"{url}/v1", top_n=2))
found["xinference top_n"] = pairs(XinferenceRerank(model="mini", base_url=url, top_n=2))
print(json.dumps(found))
