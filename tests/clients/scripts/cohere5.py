"""cohere 5: Client and ClientV2, and LangChain's CohereRerank."""

import json
import sys

import cohere
from langchain_cohere import CohereRerank
from langchain_core.documents import Document

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = {}


def pairs(answer):
    return [[result.index, result.relevance_score] for result in answer.results]


v2 = cohere.ClientV2("any", base_url=url)
found["ClientV2"] = pairs(v2.rerank(model="mini", query=query, documents=texts))
found["ClientV2 top_n"] = pairs(v2.rerank(model="mini", query=query, documents=texts, top_n=2, max_tokens_per_doc=99))
v1 = cohere.Client("any", base_url=url)
found["Client"] = pairs(v1.rerank(model="mini", query=query, documents=texts))
documents = [{"title": "no", "body": text} for text in texts]
answer = v1.rerank(
    model="mini", query=query, documents=documents, rank_fields=["body"], return_documents=True, max_chunks_per_doc=5
)
found["Client mappings"] = pairs(answer)
assert answer.results[0].document.text == texts[answer.results[0].index]
langchain = CohereRerank(model="mini", cohere_api_key="any", base_url=url, top_n=2)
langchain.client = cohere.ClientV2("any", base_url=url)
found["langchain rerank top_n"] = [[r["index"], r["relevance_score"]] for r in langchain.rerank(texts, query)]
compressed = langchain.compress_documents([Document(text) for text in texts], query)
found["langchain documents top_n"] = [[texts.index(d.page_content), d.metadata["relevance_score"]] for d in compressed]
try:
    v2.rerank(model="nobody", query=query, documents=texts)
except cohere.NotFoundError as error:
    found["error"] = "not served here" in str(error.body)
print(json.dumps(found))
