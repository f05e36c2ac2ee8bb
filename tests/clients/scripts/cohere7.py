"""cohere 7: Client and ClientV2, synchronous and not."""

import asyncio
import json
import sys

import cohere

url, query, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
found = {}


def pairs(answer):
    return [[result.index, result.relevance_score] for result in answer.results]


v2 = cohere.ClientV2("any", base_url=url)
found["ClientV2"] = pairs(v2.rerank(model="mini", query=query, documents=texts))
found["ClientV2 top_n"] = pairs(v2.rerank(model="mini", query=query, documents=texts, top_n=2, priority=1))
found["Client"] = pairs(cohere.Client("any", base_url=url).rerank(model="mini", query=query, documents=texts))


async def asynchronous():
    client = cohere.AsyncClientV2("any", base_url=url)
    return pairs(await client.rerank(model="mini", query=query, documents=texts))


found["AsyncClientV2"] = asyncio.run(asynchronous())
try:
    v2.rerank(model="mini", query=query, documents=[])
except cohere.BadRequestError as error:
    found["error"] = "documents is empty" in str(error.body)
print(json.dumps(found))
