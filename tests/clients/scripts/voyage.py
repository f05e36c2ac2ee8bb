"""voyageai's own client."""

import json
import sys

import voyageai

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
client = voyageai.Client(api_key="any", base_url=f"{url}/v1")
found = {}
answer = client.rerank(query, texts, model="mini")
found["rerank"] = [[result.index, result.relevance_score] for result in answer.results]
assert answer.total_tokens > 0
answer = client.rerank(query, texts, model="mini", top_k=2, truncation=True)
found["rerank top_n"] = [[result.index, result.relevance_score] for result in answer.results]
try:
    client.rerank(query, texts, model="nobody")
except voyageai.error.VoyageError as error:
    found["error"] = "not served here" in str(error)
print(json.dumps(found))
