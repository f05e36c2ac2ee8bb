"""xinference-client, which asks about login and the model first."""

import json
import sys

from xinference_client import RESTfulClient

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = RESTfulClient(url).get_model("mini")
answer = model.rerank(texts, query)
found = {"rerank": [[result["index"], result["relevance_score"]] for result in answer["results"]]}
answer = model.rerank(texts, query, top_n=2, return_documents=True)
found["rerank top_n"] = [[result["index"], result["relevance_score"]] for result in answer["results"]]
print(json.dumps(found))
