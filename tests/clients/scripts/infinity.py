"""infinity_client."""

import json
import sys

from infinity_client import Client
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
answer = rerank.sync(client=Client(base_url=url), body=RerankInput(query=query, documents=texts, model="mini"))
print(json.dumps({"rerank": [[result.index, result.relevance_score] for result in answer.results]}))
